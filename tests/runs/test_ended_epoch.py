from typing import Any

import pytest

from distill.runs.ended_epoch import complete_epoch


def loops(ready: int, processed: int, completed: int) -> dict[str, Any]:
    counts = {"ready": ready, "started": ready, "processed": processed, "completed": completed}
    progress = {"total": dict(counts), "current": dict(counts)}
    return {"loops": {"fit_loop": {"epoch_progress": progress}}}


def test_an_epoch_that_was_over_is_completed() -> None:
    checkpoint = loops(ready=3, processed=3, completed=2)
    assert complete_epoch(checkpoint)
    assert checkpoint == loops(ready=3, processed=3, completed=3)


@pytest.mark.parametrize(
    ("processed", "completed"), [(2, 2), (3, 3)], ids=["within an epoch", "completed already"]
)
def test_others_stay_as_they_are(processed: int, completed: int) -> None:
    checkpoint = loops(3, processed, completed)
    assert not complete_epoch(checkpoint)
    assert checkpoint == loops(3, processed, completed)
