"""Which of a run's processes this is."""

from pytorch_lightning.utilities import rank_zero_only


def first_process() -> bool:
    """Whether this is the process of its run that writes files and speaks; alone, it is."""
    return bool(rank_zero_only.rank == 0)  # type: ignore[attr-defined]
