"""Checks of a study before hours are spent on it.

`study` prints what `emoadapt check` finds; `passed` is what Snakemake repeats whenever it starts. Both read each corpus once
(`listings`).
"""
