"""Listing of corpora: utterances, labels, and checks before extraction."""
