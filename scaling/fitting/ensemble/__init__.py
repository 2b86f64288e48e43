"""The ensemble: its members, their weights, and both joined to one law with draws."""

from scaling.fitting.ensemble.combine import EnsembleFit, fit_ensemble

__all__ = ["EnsembleFit", "fit_ensemble"]
