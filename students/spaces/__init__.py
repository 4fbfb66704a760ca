"""Sets of architectures to search: decisions by name, each with its values."""

from students.spaces.chain import Chain

__all__ = ["Chain"]
