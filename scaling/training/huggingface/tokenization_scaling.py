"""The tokenizers of scaling for the transformers library; laid beside exported weights.

A token is written as its id, the separator of documents as the NUL that no text contains: it is
beginning, end and padding. So the library only carries ids, and `plain_tokenizers.py` alone decides
what they mean.
"""

import json
from pathlib import Path

from transformers import PreTrainedTokenizer

from .plain_tokenizers import ByteTokenizer, CharacterTokenizer, WordTokenizer

VOCABULARY_FILE = "vocabulary.json"
_SEPARATOR = "\0"


class ScalingTokenizer(PreTrainedTokenizer):
    """Text to ids and back, without losing a byte.

    Args:
        vocab_file: `vocabulary.json`: {"name": bytes, characters, words:N or words+space:N},
            with "characters" or "words" where the name asks for them.
    """

    vocab_files_names = {"vocab_file": VOCABULARY_FILE}  # noqa: RUF012
    model_input_names = ["input_ids", "attention_mask"]  # noqa: RUF012

    def __init__(self, vocab_file, **options):
        self.stored = json.loads(Path(vocab_file).read_text(encoding="utf-8"))
        kind = self.stored["name"].partition(":")[0]
        if kind == "bytes":
            self.inner = ByteTokenizer()
        elif kind == "characters":
            self.inner = CharacterTokenizer(self.stored["characters"])
        else:
            words = [word.encode() for word in self.stored["words"]]
            self.inner = WordTokenizer(words, implied_space=kind == "words")
        for role in ("bos_token", "eos_token", "pad_token"):
            options.setdefault(role, _SEPARATOR)
        super().__init__(**options)

    @property
    def vocab_size(self):
        return self.inner.vocab_size

    def get_vocab(self):
        return {self._convert_id_to_token(one): one for one in range(self.vocab_size)}

    def _tokenize(self, text, **_):
        return [self._convert_id_to_token(int(one)) for one in self.inner.encode(text.encode())]

    def _convert_token_to_id(self, token):
        return self.inner.separator if token == _SEPARATOR else int(token)

    def _convert_id_to_token(self, index):
        return _SEPARATOR if index == self.inner.separator else str(index)

    def convert_tokens_to_string(self, tokens):
        """The text of tokens; bytes that are no UTF-8 become replacement characters."""
        text = self.inner.decode([self._convert_token_to_id(one) for one in tokens])
        return text.decode("utf-8", errors="replace")

    def save_vocabulary(self, save_directory, filename_prefix=None):
        """Write `vocabulary.json`; returns its path."""
        name = f"{filename_prefix}-{VOCABULARY_FILE}" if filename_prefix else VOCABULARY_FILE
        path = Path(save_directory) / name
        path.write_text(json.dumps(self.stored, ensure_ascii=False), encoding="utf-8")
        return (str(path),)
