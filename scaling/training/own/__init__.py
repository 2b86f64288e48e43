"""Runs of a user's own trainer: a command, or a function. No torch here."""
