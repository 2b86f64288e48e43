"""What is written for a terminal, one file a kind of answer."""
