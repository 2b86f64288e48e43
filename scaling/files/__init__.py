"""Files that survive: durable writes, sealed documents, and points at which tests make them fail."""
