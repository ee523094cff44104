"""Weights of networks: registry, download, inventory and model cards."""
