"""The package from Python: a fit with methods, figures and frames, for scripts and notebooks."""
