"""Weights of networks: which there are, where they come from, which are present, and model cards."""
