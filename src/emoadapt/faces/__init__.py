"""Faces of clips: search, tracking, crops and embedding networks."""
