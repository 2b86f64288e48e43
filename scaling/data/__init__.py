"""Text to tokens: corpora, tokenizers, memory-mapped shards."""
