"""What people write in tables of runs: numbers, expressions, units, states, shapes."""
