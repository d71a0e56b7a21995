"""Recipes, callbacks, checkpoints and the fit."""
