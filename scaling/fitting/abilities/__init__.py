"""Abilities: sharp scores judged beside a smooth score, over seeds and sizes."""
