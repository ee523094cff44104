"""Prediction of emotions in media files, and export to other runtimes."""
