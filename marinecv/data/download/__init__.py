"""Fetch a data set: download, check and unpack it."""
