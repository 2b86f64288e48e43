"""What plans are told of a corpus of bytes about as large as the standard library."""

from scaling.sweep.corpus_facts import CorpusFacts

FACTS = CorpusFacts(
    digest="0" * 24,
    vocab_size=256,
    train_tokens=10_000_000,
    validation_tokens=530_000,
    train_bytes=10_000_000,
    validation_bytes=530_000,
    validation_documents=60,
    unigram_entropy=3.2,
    overlap=0.1,
)
