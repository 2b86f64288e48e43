"""From a fit to answers: what to train, how sure that is, how far from the data."""

from scaling.allocation.answer import Allocation, BuildableShape, Prediction
from scaling.allocation.asking import allocate, predict

__all__ = ["Allocation", "BuildableShape", "Prediction", "allocate", "predict"]
