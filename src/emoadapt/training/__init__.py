"""Training: the loop that all stages share, and the stages."""
