"""One page that answers: figures, checks in plain words, every run."""
