"""Losses on maps inside the networks."""
