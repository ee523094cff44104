"""A Snakemake run as a person sees it on a terminal, and its results."""
