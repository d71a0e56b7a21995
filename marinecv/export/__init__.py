"""A run as a file for another runtime, with a certificate of how well the two agree."""
