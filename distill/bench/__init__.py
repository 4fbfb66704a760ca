"""Benches: recipes compared over seeds."""

from distill.bench.runner import bench

__all__ = ["bench"]
