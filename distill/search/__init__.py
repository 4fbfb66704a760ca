"""Architecture search: strategies that propose designs of a space."""

from distill.search.random import Random

__all__ = ["Random"]
