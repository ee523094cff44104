"""What makes a result stale and what does not: shards, fingerprints, code digests, row reuse, the run grid."""
