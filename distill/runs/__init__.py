"""Runs: a recipe carried out in a run directory."""
