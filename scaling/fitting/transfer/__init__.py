"""What pre-training is worth in text: effective data transferred, its law, and its sign."""
