"""Search: trials of one recipe with other settings, suggested by Keras Tuner or Optuna, kept in our own files."""
