"""A page about one corpus: its content, and what is odd about it."""
