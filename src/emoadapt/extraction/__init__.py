"""Extraction of features: jobs, their recipes, and the processes that they work in."""
