"""Weights & Biases: the run's config, its connection and its results."""
