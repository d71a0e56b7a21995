"""The recipes of the source reports, as data."""
