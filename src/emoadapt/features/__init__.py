"""One module per feature: input columns in, output columns out, nothing about files."""
