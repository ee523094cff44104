"""Labelled tasks: classes, splits, subsets of training clips, and leaks into the test set."""
