"""A data set in a few large files."""
