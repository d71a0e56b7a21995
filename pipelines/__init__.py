"""The commands: one short file each, with its recipes as data and the few lines that run them."""
