"""A trained model in the format of the transformers library: config, weights, code and tokenizer.

FOLDER/config.json, generation_config.json     shape and settings of the model
FOLDER/model.safetensors                       float32, under the names that training gave them
FOLDER/modeling_scaling.py                     the architecture, which no class of theirs fits
FOLDER/tokenizer.json | tokenization_scaling.py, plain_tokenizers.py, vocabulary.json
FOLDER/tokenizer_config.json                   none of these if the corpus came as tokens
"""

from scaling.training.huggingface.files import list_files

__all__ = ["list_files"]
