"""Staleness of results: shards, fingerprints, code digests and reused rows."""
