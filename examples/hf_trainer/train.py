"""A Llama of transformers, trained by its Trainer as run.json says: bytes of Python's own library.

python train.py RUN.JSON
"""

import json
import signal
import sys
import sysconfig
from pathlib import Path

import torch
from torch.nn import functional as F
from transformers import LlamaConfig, LlamaForCausalLM, Trainer, TrainerCallback, TrainingArguments
from transformers.trainer_utils import get_last_checkpoint

CONTEXT, BATCH, VOCABULARY, EVERY = 32, 32, 256, 20


class Windows(torch.utils.data.Dataset):
    """Of consecutive bytes; those of the Trainer's sampler follow from its seed."""

    def __init__(self, text):
        self.text = text

    def __len__(self):
        return len(self.text) // CONTEXT

    def __getitem__(self, at):
        ids = self.text[at * CONTEXT : (at + 1) * CONTEXT]
        return {"input_ids": ids, "labels": ids}


class Protocol(TrainerCallback):
    """Rows of the curve, and the end that SIGTERM asks for."""

    def __init__(self, folder):
        self.folder, self.stopping = folder, False
        signal.signal(signal.SIGTERM, self.stop)

    def stop(self, *_):
        self.stopping = True

    def on_log(self, args, state, control, logs=None, **_):
        if state.is_world_process_zero and "loss" in logs:
            tokens = state.global_step * BATCH * CONTEXT
            row = {"step": state.global_step, "tokens": tokens, "loss": float(logs["loss"])}
            with (self.folder / "metrics.jsonl").open("a") as file:
                file.write(json.dumps(row) + "\n")

    def on_step_end(self, args, state, control, **_):
        if self.stopping:
            control.should_save = control.should_training_stop = True


run = json.loads(Path(sys.argv[1]).read_text())
folder = Path(run["folder"])
library = sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))
text = torch.frombuffer(bytearray(b"".join(p.read_bytes() for p in library)), dtype=torch.uint8)
text = text.long()
train, held_out = text[: -len(text) // 20], text[-len(text) // 20 :]

torch.manual_seed(run["seed"])
width = run["settings"]["hidden_size"]
model = LlamaForCausalLM(
    LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=run["settings"]["layers"],
        num_attention_heads=width // 8,
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=True,
    )
)
steps = max(1, round(run["tokens"] / (BATCH * CONTEXT)))
protocol = Protocol(folder)
trainer = Trainer(
    model=model,
    args=TrainingArguments(
        output_dir=str(folder / "checkpoints"),
        max_steps=steps,
        per_device_train_batch_size=BATCH,
        learning_rate=5e-3,
        lr_scheduler_type="cosine",
        warmup_steps=max(1, steps // 10),
        logging_steps=EVERY,
        save_steps=10 * EVERY,
        save_total_limit=1,
        seed=run["seed"],
        report_to="none",
        disable_tqdm=True,
    ),
    train_dataset=Windows(train),
    callbacks=[protocol],
)
earlier = run["resume_folder"] and Path(run["resume_folder"]) / "checkpoints"
resume = get_last_checkpoint(str(earlier)) if earlier and earlier.is_dir() else None
trainer.train(resume_from_checkpoint=resume)
if protocol.stopping and trainer.state.global_step < steps:
    sys.exit(0)

windows = held_out[: len(held_out) // CONTEXT * CONTEXT].view(-1, CONTEXT)[:1000]
with torch.no_grad():
    logits = model.eval()(windows.to(model.device)).logits[:, :-1].float().cpu()
    losses = F.cross_entropy(logits.transpose(1, 2), windows[:, 1:], reduction="none").mean(1)
measured = {
    "loss": losses.mean().item(), "loss_se": (losses.std() / len(losses) ** 0.5).item(),
    "tokens": steps * BATCH * CONTEXT, "params": sum(one.numel() for one in model.parameters()),
}  # fmt: skip
(folder / "measured.json").write_text(json.dumps(measured))
