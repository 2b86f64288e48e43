"""The ensemble: its members, their weights, and the law with draws that combines them."""

from scaling.fitting.ensemble.combine import EnsembleFit, fit_ensemble

__all__ = ["EnsembleFit", "fit_ensemble"]
