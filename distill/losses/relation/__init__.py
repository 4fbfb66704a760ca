"""Losses on how the images of a batch relate to each other."""
