"""Files that are complete or absent, locks, memory-mapped arrays, CSV tables, hashes."""
