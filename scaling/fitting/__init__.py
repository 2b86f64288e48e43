"""From a table of runs to a Fit: solver, approaches, uncertainty, checks."""
