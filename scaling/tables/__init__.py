"""Tables of runs as people write them: numbers, expressions, units, states, shapes."""
