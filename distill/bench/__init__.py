"""Benches: recipes compared over seeds."""

from distill.bench.runner import RunsFailedError, bench

__all__ = ["RunsFailedError", "bench"]
