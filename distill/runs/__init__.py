"""Runs: a recipe trained, tested and recorded in a run directory."""

from distill.runs.evaluate import evaluate
from distill.runs.fit import fit
from distill.runs.session import Session

__all__ = ["Session", "evaluate", "fit"]
