"""Effective data transferred by pre-training, its law, and its sign."""
