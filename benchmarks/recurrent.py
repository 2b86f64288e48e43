"""How fast a training step of a recurrent family is, against a plain loop over the same module.

    OMP_NUM_THREADS=1 python benchmarks/recurrent.py

The plain step is what a first script does: nn.Embedding, nn.LSTM (or nn.RNN) of two layers, an
nn.Linear without bias, cross-entropy, AdamW over separate tensors, the gradient clipped. Rounds
alternate, and the median of process CPU time counts, because machines are shared: quote ratios.
"""

import statistics
import time

import torch
from step_parts import draw_tokens, make_engine_step, make_module_step, make_run, measure
from torch import Tensor, nn

from scaling.ledger.machine import name_processor
from scaling.sweep.counting import count_flops_per_token
from scaling.sweep.shapes import ModelShape
from scaling.training.engines.eager import EagerEngine

# (width, sequence, sequences per step)
SHAPES = ((16, 128, 2), (32, 128, 2), (64, 128, 2), (64, 512, 1), (128, 128, 4), (256, 128, 8))
VOCABULARY = 256


class PlainNetwork(nn.Module):
    """A plain recurrent language model, as in a first script."""

    def __init__(self, kind: type[nn.RNNBase], width: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, width)
        self.body = kind(width, width, 2, batch_first=True)
        self.head = nn.Linear(width, VOCABULARY, bias=False)

    def forward(self, tokens_bt: Tensor) -> Tensor:
        """Logits, shape (b, t, v)."""
        logits: Tensor = self.head(self.body(self.embedding(tokens_bt))[0])
        return logits


def main() -> None:
    torch.set_num_threads(1)
    print(f"{name_processor()}; torch {torch.__version__}")
    print(f"{'family width/seq/batch':<24}{'plain':>12}{'ours':>12} tokens/s   ours takes  GFLOP/s")
    for family, kind in (("lstm", nn.LSTM), ("rnn", nn.RNN)):
        ratios = []
        for width, length, sequences in SHAPES:
            shape = ModelShape(
                family=family, vocab_size=VOCABULARY, seq_len=length, d_model=width, n_layers=2
            )
            steps = {
                "plain": make_module_step(PlainNetwork(kind, width), "cpu"),
                "ours": make_engine_step(EagerEngine(make_run(shape, sequences))),
            }
            tokens = draw_tokens(shape, sequences)
            took = measure(steps, tokens, clock=time.process_time, rounds=7, seconds=0.1)
            rate = {name: sequences * length / seconds for name, seconds in took.items()}
            ratios.append(took["ours"] / took["plain"])
            worth = rate["ours"] * count_flops_per_token(shape) / 1e9
            print(
                f"{f'{family} {width}/{length}/{sequences}':<24}{rate['plain']:>12,.0f}"
                f"{rate['ours']:>12,.0f} {ratios[-1]:>15.2f} × {worth:>8.1f}",
                flush=True,
            )
        print(f"{family}: {statistics.geometric_mean(ratios):.2f} × plain, most {max(ratios):.2f}")


if __name__ == "__main__":
    main()
