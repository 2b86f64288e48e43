"""From a fit to answers: what to train, how sure that is, how far from the data."""

from scaling.allocation.answer import Allocation, BuildableShape, Prediction
from scaling.allocation.asking import allocate, predict
from scaling.allocation.datasheets import DEVICES, find_device
from scaling.allocation.question import Hardware, Question

__all__ = [
    "DEVICES",
    "Allocation",
    "BuildableShape",
    "Hardware",
    "Prediction",
    "Question",
    "allocate",
    "find_device",
    "predict",
]
