"""Files and tables: reading and writing, whole or not at all."""
