"""Export a run as a file for another runtime, with a parity check against the Keras model."""
