"""Several fits side by side: recipes, counting conventions, tokenizers."""
