"""The report page: the answer, figures, checks in plain words, every run."""
