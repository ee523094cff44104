"""Metrics, bias, embedding distance and significance, from Parquet tables alone."""
