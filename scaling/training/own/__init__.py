"""Runs that somebody's own trainer trains: a command, or a function. No torch here."""
