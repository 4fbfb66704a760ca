"""Sweeps: hyper-parameters searched as W&B's sweep files say, with or without its server."""

from distill.bench.sweep.hyperband import Hyperband
from distill.bench.sweep.runner import sweep

__all__ = ["Hyperband", "sweep"]
