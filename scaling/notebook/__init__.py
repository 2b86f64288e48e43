"""The Python interface: a fit with methods, figures and frames, for scripts and notebooks."""
