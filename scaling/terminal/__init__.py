"""Text for a terminal, one file for each kind of answer."""
