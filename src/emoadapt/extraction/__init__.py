"""Extraction of features: jobs, recipes and worker processes."""
