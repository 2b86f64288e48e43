"""Checks of a fit and of the runs behind it, each with a sentence and advice."""
