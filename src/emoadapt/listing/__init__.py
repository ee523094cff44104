"""Listing of corpora: utterances and labels from what importers find, and the checks before anything is computed."""
