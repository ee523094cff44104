"""Emotions of anybody's files, and export for other runtimes."""
