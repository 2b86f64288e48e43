"""Checks of a fit and of the runs behind it, each one a sentence and an advice."""
