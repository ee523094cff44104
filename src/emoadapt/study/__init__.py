"""A study as jobs: what is trained, in which order, from what."""
