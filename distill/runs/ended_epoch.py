"""A checkpoint of an epoch's end, gone on from as such whatever ends the run.

Lightning saves it before it counts the epoch as completed, and puts that right on a restart, but
not where ``max_steps`` is given: the epoch would be ended twice, and the next one left out.
"""

from typing import Any


def complete_epoch(checkpoint: dict[str, Any]) -> bool:
    """Count an epoch that was over as completed, in the state of the loops.

    Args:
        checkpoint: As it was read, before the loops take their state from it; changed in place.

    Returns:
        Whether it was: then a restart begins with an epoch's first batch.
    """
    epochs = checkpoint["loops"]["fit_loop"]["epoch_progress"]
    current = epochs["current"]
    if not current["ready"] == current["processed"] == current["completed"] + 1:
        return False
    for counted in epochs.values():
        counted["completed"] = counted["processed"]
    return True
