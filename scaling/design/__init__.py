"""What a design of runs will be able to say, and which runs to add."""
