"""Few-shot learning: what examples are worth, and when a model infers instead of remembering."""
