"""What a data set looks like, as tables."""
