"""Facts of a byte corpus about as large as the standard library."""

import dataclasses

import known_run

FACTS = dataclasses.replace(
    known_run.FACTS,
    train_tokens=10_000_000,
    train_bytes=10_000_000,
    validation_tokens=530_000,
    validation_bytes=530_000,
)
