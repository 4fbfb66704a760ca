"""Sets of architectures to search: decisions by name, each with its values."""

from students.spaces.branches import Branches
from students.spaces.cells import Cells
from students.spaces.chain import Chain

__all__ = ["Branches", "Cells", "Chain"]
