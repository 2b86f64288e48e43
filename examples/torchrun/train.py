"""Data-parallel training under torchrun, as run.json says: each byte from the eight before it.

torchrun --nproc-per-node=2 train.py RUN.JSON

Every process takes its share of each batch. The first one of the first node writes.
"""

import json
import signal
import sys
import sysconfig
from pathlib import Path

import torch
import torch.distributed as dist
from torch import nn
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel

CONTEXT, BATCH, VOCABULARY, EVERY = 8, 2048, 256, 20


class Model(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, 8)
        self.body = nn.Linear(8 * CONTEXT, width)
        self.head = nn.Linear(width, VOCABULARY)

    def forward(self, windows):
        return self.head(F.gelu(self.body(self.embedding(windows).flatten(1))))


def take(text, starts):
    return torch.stack([text[starts + at] for at in range(CONTEXT)], 1), text[starts + CONTEXT]


run = json.loads(Path(sys.argv[1]).read_text())
folder = Path(run["folder"])
dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
rank, world = dist.get_rank(), dist.get_world_size()
device = f"cuda:{rank % torch.cuda.device_count()}" if torch.cuda.is_available() else "cpu"
library = sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))
text = torch.frombuffer(bytearray(b"".join(p.read_bytes() for p in library)), dtype=torch.uint8)
text = text.long().to(device)
edge = len(text) - len(text) // 20

torch.manual_seed(run["seed"])
model = DistributedDataParallel(Model(run["settings"]["width"]).to(device))
params = sum(one.numel() for one in model.parameters())
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
steps, first = max(1, round(run["tokens"] / BATCH)), 0
if run["resume_folder"]:
    state = torch.load(Path(run["resume_folder"]) / "checkpoint.pt", map_location=device)
    model.load_state_dict(state["model"]), optimizer.load_state_dict(state["optimizer"])
    first = state["step"]
stopping = torch.zeros(1, device=device)
signal.signal(signal.SIGTERM, lambda *_: stopping.fill_(1))

for step in range(first, steps):
    optimizer.param_groups[0]["lr"] = 1e-2 * min(1, (step + 1) / 10, 2 * (1 - step / steps))
    random = torch.Generator().manual_seed(run["seed"] * steps + step)
    starts = torch.randint(edge - CONTEXT, (BATCH,), generator=random)[rank::world].to(device)
    windows, targets = take(text, starts)
    loss = F.cross_entropy(model(windows), targets)
    optimizer.zero_grad(), loss.backward(), optimizer.step()
    if step % EVERY == EVERY - 1:
        told = torch.cat([loss.detach()[None] / world, stopping])
        dist.all_reduce(told)  # all stop after the same step, whoever was asked first
        if rank == 0:
            row = {"step": step, "tokens": (step + 1) * BATCH, "loss": told[0].item()}
            with (folder / "metrics.jsonl").open("a") as file:
                file.write(json.dumps(row) + "\n")
            parts = {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
            torch.save(parts | {"step": step + 1}, folder / "new.pt")
            (folder / "new.pt").rename(folder / "checkpoint.pt")
        if told[1]:
            dist.destroy_process_group()
            sys.exit(0)

if rank == 0:
    starts = torch.arange(edge, len(text) - CONTEXT, 5)[:10000]
    windows, targets = take(text, starts)
    with torch.no_grad():
        losses = F.cross_entropy(model.module(windows), targets, reduction="none")
    measured = {
        "loss": losses.mean().item(), "loss_se": (losses.std() / len(losses) ** 0.5).item(),
        "tokens": steps * BATCH, "params": params,
    }  # fmt: skip
    (folder / "measured.json").write_text(json.dumps(measured))
dist.destroy_process_group()
