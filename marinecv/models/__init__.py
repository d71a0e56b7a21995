"""Builders of Keras models: pixels in [0, 255] in, probabilities out."""
