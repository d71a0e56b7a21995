"""Heat maps of a model's evidence by several methods, and the fraction of the heat inside the boxes."""
