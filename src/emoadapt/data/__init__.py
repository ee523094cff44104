"""Targets, training shards, batches."""
