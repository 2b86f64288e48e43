"""Many runs: which are missing, who trains them, what to do when one ends."""
