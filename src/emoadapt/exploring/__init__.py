"""A page about one corpus, before any training: its content, and what is odd about it."""
