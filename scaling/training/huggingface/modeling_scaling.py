"""The models that scaling trains, for the transformers library. This file stands alone: it is laid
beside the weights, and needs torch and transformers only.

    AutoModelForCausalLM.from_pretrained(FOLDER, trust_remote_code=True)

Transformer: RMSNorm (arXiv:1910.07467), rotary positions over neighbouring pairs
(arXiv:2104.09864), QK-norm shared by all heads (arXiv:2010.04245), ReLU² MLP (arXiv:2109.08668), an
untied head, no biases; each residual branch times `residual_multiplier`, logits times
`head_multiplier` (arXiv:2505.01618). Recurrent: torch's RNN (tanh) or LSTM between an embedding and
an untied head. Nothing is kept between calls: generation reads the whole text again for each token.

Axes: b batch, t position, d width, h head, k head size, v vocabulary.
"""

import torch
from torch import nn
from torch.nn import functional as F
from transformers import GenerationMixin, PretrainedConfig, PreTrainedModel
from transformers.modeling_outputs import CausalLMOutput


class ScalingConfig(PretrainedConfig):
    """Integers of the model, and the multipliers of its parametrisation."""

    model_type = "scaling"
    attribute_map = {  # noqa: RUF012
        "hidden_size": "d_model",
        "num_hidden_layers": "n_layers",
        "num_attention_heads": "n_heads",
        "max_position_embeddings": "seq_len",
    }

    def __init__(
        self,
        family="transformer",
        vocab_size=256,
        seq_len=128,
        d_model=16,
        n_layers=2,
        n_heads=1,
        head_size=16,
        d_ff=64,
        residual_multiplier=1.0,
        head_multiplier=1.0,
        rotary_base=10_000.0,
        norm_epsilon=1e-6,
        use_cache=False,
        **rest,
    ):
        self.family = family
        self.vocab_size = vocab_size
        self.seq_len = seq_len
        self.d_model = d_model
        self.n_layers = n_layers
        self.n_heads = n_heads
        self.head_size = head_size
        self.d_ff = d_ff
        self.residual_multiplier = residual_multiplier
        self.head_multiplier = head_multiplier
        self.rotary_base = rotary_base
        self.norm_epsilon = norm_epsilon
        self.use_cache = use_cache
        super().__init__(tie_word_embeddings=False, **rest)


class ScalingForCausalLM(PreTrainedModel, GenerationMixin):
    """Token ids of shape (b, t) to logits of shape (b, t, v)."""

    config_class = ScalingConfig
    main_input_name = "input_ids"

    def __init__(self, config):
        super().__init__(config)
        self.embedding = nn.Embedding(config.vocab_size, config.d_model)
        if config.family == "transformer":
            self.blocks = nn.ModuleList(_Block(config) for _ in range(config.n_layers))
            self.norm = nn.Parameter(torch.ones(config.d_model))
        else:
            network = {"rnn": nn.RNN, "lstm": nn.LSTM}[config.family]
            self.body = network(config.d_model, config.d_model, config.n_layers, batch_first=True)
        self.head = nn.Linear(config.d_model, config.vocab_size, bias=False)
        self.post_init()

    def _init_weights(self, module):  # weights come from a file; torch's own where they do not
        pass

    def get_input_embeddings(self):
        return self.embedding

    def set_input_embeddings(self, value):
        self.embedding = value

    def get_output_embeddings(self):
        return self.head

    def set_output_embeddings(self, value):
        self.head = value

    def forward(
        self, input_ids=None, attention_mask=None, position_ids=None, labels=None, **unused
    ):
        """See the class.

        Args:
            input_ids: At most `seq_len` a row.
            attention_mask: 0 at padding, shape (b, t). A recurrent model takes padding on the right
                only: its state would read what stands on the left.
            position_ids: Shape (b, t); default: positions among what is no padding.
            labels: Ids to predict, shape (b, t), shifted here; -100 is ignored.
        """
        length = input_ids.shape[1]
        if length > self.config.seq_len:
            raise ValueError(
                f"{length} tokens; the model was trained on a context of {self.config.seq_len}"
            )
        padded = attention_mask is not None and not bool(attention_mask.all())
        x_btd = self.embedding(input_ids)
        if self.config.family == "transformer":
            if position_ids is None:
                seen = attention_mask if padded else torch.ones_like(input_ids)
                position_ids = (seen.long().cumsum(-1) - 1).clamp(min=0)
            rotation = self._rotate_by(position_ids)
            mask = None
            if padded:
                causal = torch.ones(length, length, dtype=torch.bool, device=x_btd.device).tril()
                itself = torch.eye(length, dtype=torch.bool, device=x_btd.device)
                mask = (causal & attention_mask.bool()[:, None, None]) | itself
            for block in self.blocks:
                x_btd = block(x_btd, rotation, mask)
            x_btd = F.rms_norm(x_btd, self.norm.shape, self.norm, self.config.norm_epsilon)
        else:
            if padded and not bool(attention_mask[:, 0].all()):
                raise ValueError("a recurrent model takes padding on the right only")
            x_btd, _ = self.body(x_btd)
        logits = self.head(x_btd) * self.config.head_multiplier
        loss = None
        if labels is not None:
            loss = F.cross_entropy(logits[:, :-1].flatten(0, 1).float(), labels[:, 1:].flatten())
        return CausalLMOutput(loss=loss, logits=logits)

    def prepare_inputs_for_generation(self, input_ids, attention_mask=None, **unused):
        return {"input_ids": input_ids, "attention_mask": attention_mask}

    def _rotate_by(self, position_ids):
        """Cosines and sines of each position's angles, each of shape (b, 1, t, k / 2)."""
        size = self.config.head_size
        exponent = torch.arange(0, size, 2, dtype=torch.float64, device=position_ids.device) / size
        angle = position_ids[..., None] * self.config.rotary_base**-exponent
        dtype = self.embedding.weight.dtype
        return angle.cos().to(dtype)[:, None], angle.sin().to(dtype)[:, None]


class _Block(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.config = config
        width, attended = config.d_model, config.n_heads * config.head_size
        self.attention_norm = nn.Parameter(torch.ones(width))
        self.qkv = nn.Linear(width, 3 * attended, bias=False)
        self.qk_norm = nn.Parameter(torch.ones(2, 1, config.head_size))
        self.attention_out = nn.Linear(attended, width, bias=False)
        self.mlp_norm = nn.Parameter(torch.ones(width))
        self.mlp_in = nn.Linear(width, config.d_ff, bias=False)
        self.mlp_out = nn.Linear(config.d_ff, width, bias=False)

    def forward(self, x_btd, rotation, mask):
        scale, epsilon = self.config.residual_multiplier, self.config.norm_epsilon
        normed = F.rms_norm(x_btd, self.attention_norm.shape, self.attention_norm, epsilon)
        x_btd = x_btd + scale * self._attend(normed, rotation, mask)
        normed = F.rms_norm(x_btd, self.mlp_norm.shape, self.mlp_norm, epsilon)
        return x_btd + scale * self.mlp_out(F.relu(self.mlp_in(normed)).square())

    def _attend(self, x_btd, rotation, mask):
        b, t, _ = x_btd.shape
        size = self.config.head_size
        q, k, v = self.qkv(x_btd).view(b, t, 3, -1, size).permute(2, 0, 3, 1, 4)
        q = F.rms_norm(q, (size,), None, self.config.norm_epsilon) * self.qk_norm[0]
        k = F.rms_norm(k, (size,), None, self.config.norm_epsilon) * self.qk_norm[1]
        q, k = _rotate(q, rotation), _rotate(k, rotation)
        attended = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=mask is None)
        return self.attention_out(attended.transpose(1, 2).reshape(b, t, -1))


def _rotate(x_bhtk, rotation):
    cos, sin = rotation
    even, odd = x_bhtk[..., 0::2], x_bhtk[..., 1::2]
    return torch.stack((even * cos - odd * sin, even * sin + odd * cos), dim=-1).flatten(-2)
