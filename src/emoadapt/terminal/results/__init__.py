"""The results of a study in the terminal: its tables, two folders compared, changed runs, kept models."""
