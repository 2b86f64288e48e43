"""Scaling laws as pure formulas with their sources: interchangeable siblings."""
