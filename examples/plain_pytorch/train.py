"""A small language model in plain PyTorch, trained as run.json says: bytes of Python's own library.

python train.py RUN.JSON
"""

import json
import signal
import sys
import sysconfig
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

CONTEXT, BATCH, VOCABULARY, EVERY = 16, 64, 256, 50


class Model(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, width)
        self.body = nn.GRU(width, width, batch_first=True)
        self.head = nn.Linear(width, VOCABULARY)

    def forward(self, tokens):
        return self.head(self.body(self.embedding(tokens))[0])


def loss_of(model, windows):
    logits = model(windows[:, :-1]).flatten(0, 1)
    each = F.cross_entropy(logits, windows[:, 1:].flatten(), reduction="none")
    return each.view(len(windows), -1).mean(1)


def draw(text, random):
    starts = torch.randint(len(text) - CONTEXT - 1, (BATCH,), generator=random)
    return torch.stack([text[at : at + CONTEXT + 1] for at in starts])


run = json.loads(Path(sys.argv[1]).read_text())
folder = Path(run["folder"])
library = sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))
text = torch.frombuffer(bytearray(b"".join(p.read_bytes() for p in library)), dtype=torch.uint8)
text = text.long()
train, held_out = text[: -len(text) // 20], text[-len(text) // 20 :]

torch.manual_seed(run["seed"])
model = Model(run["settings"]["width"])
params = sum(one.numel() for one in model.parameters())
optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
steps, first = round(run["tokens"] / (BATCH * CONTEXT)), 0
if run["resume_folder"]:
    state = torch.load(Path(run["resume_folder"]) / "checkpoint.pt")
    model.load_state_dict(state["model"]), optimizer.load_state_dict(state["optimizer"])
    first = state["step"]
stopping = []
signal.signal(signal.SIGTERM, lambda *_: stopping.append(True))

for step in range(first, steps):
    rate = 3e-3 * min(1, (step + 1) / 20, 2 * (1 - step / steps))  # warmup, then down to zero
    optimizer.param_groups[0]["lr"] = rate
    loss = loss_of(model, draw(train, torch.Generator().manual_seed(run["seed"] * steps + step)))
    loss = loss.mean()
    optimizer.zero_grad(), loss.backward(), optimizer.step()
    if step % EVERY == EVERY - 1 or stopping:
        row = {"step": step, "tokens": (step + 1) * BATCH * CONTEXT, "loss": loss.item()}
        with (folder / "metrics.jsonl").open("a") as file:
            file.write(json.dumps(row) + "\n")
        parts = {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
        torch.save(parts | {"step": step + 1}, folder / "new.pt")
        (folder / "new.pt").rename(folder / "checkpoint.pt")
    if stopping:
        sys.exit(0)

windows = held_out[: len(held_out) // (CONTEXT + 1) * (CONTEXT + 1)].view(-1, CONTEXT + 1)[:2000]
with torch.no_grad():
    losses = loss_of(model, windows)
measured = {
    "loss": losses.mean().item(), "loss_se": (losses.std() / len(losses) ** 0.5).item(),
    "tokens": steps * BATCH * CONTEXT, "params": params,
}  # fmt: skip
(folder / "measured.json").write_text(json.dumps(measured))
