"""Extraction of features: a shard brought up to date, clip by clip."""
