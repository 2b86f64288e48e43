"""Files that survive: durable writes, sealed documents, and points where tests make them fail."""
