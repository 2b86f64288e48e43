"""Both directions of the distance between a model and the known source of its text.

    precision   E_{x ~ model} [−ln source(x)] − floor    the model's text, judged by the source
    recall      E_{x ~ source}[−ln model(x)] − floor     its held-out loss above the floor

Both are 0 for the source itself [nats/token]. A model that misses behaviour of the source has a
high recall term; one that writes text the source would not has a high precision term. A lower
temperature trades the first against the second: with precision below 0, text is likelier than the
source's own.

Samples begin with one token of a held-out window and fill it; −ln source is exact filtering of the
hidden state over the window (`data/synthetic.py`), and the floor is that of held-out windows.
"""

from __future__ import annotations

import ast

from scaling.data import synthetic
from scaling.errors import UsageError
from scaling.training.probes.samples import write_samples
from scaling.training.probing import TrainedRun, average


def measure_precision(trained: TrainedRun) -> tuple[float, float | None]:
    """Cross-entropy of samples under the source, above the floor [nats/token]."""
    source, floor = open_source(trained)
    written, _ = write_samples(
        trained,
        count=int(trained.options["samples"]),
        tokens=trained.run.shape.seq_len + 1,
        prompt=1,
        temperature=float(trained.options["temperature"]),
    )
    each = synthetic.filter_windows(source, written).mean(axis=1)
    mean, error = average(each)
    return mean - floor, error


def measure_recall(trained: TrainedRun) -> tuple[float, float | None]:
    """Held-out loss above the floor [nats/token]; nothing is computed again."""
    _, floor = open_source(trained)
    assert trained.result.loss is not None
    return trained.result.loss - floor, trained.result.loss_se


def open_source(trained: TrainedRun) -> tuple[synthetic.Source, float]:
    """The source of a run's corpus, and the floor of its held-out windows [nats/token].

    Raises:
        UsageError: The corpus has another source.
    """
    kind, _, key = trained.shards.name.partition(" ")
    floor = trained.shards.facts.bayes_loss
    if kind != "synthetic" or floor is None:
        raise UsageError("the source of this corpus is not known. Set corpus.source to synthetic.")
    _, version, seed, *_ = ast.literal_eval(key)
    if version != synthetic.SOURCE_VERSION:
        raise UsageError(
            f"the corpus is of version {version} of the source, and this is version "
            f"{synthetic.SOURCE_VERSION}. Train the sweep again."
        )
    return synthetic.make_source(int(seed)), floor
