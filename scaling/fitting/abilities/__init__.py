"""Abilities: scores that look sharp, judged beside a smooth one, over seeds and sizes."""
