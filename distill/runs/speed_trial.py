"""How fast a student trains in each precision and layout, found out in a moment."""

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

_FEW, _MOST_S = 8, 0.5
_HOPELESS, _TIE = 1.5, 1.03
_ROUNDS, _BUDGET_S = (5, 9), 0.5


class Way(NamedTuple):
    """A way to compute.

    Attributes:
        precision: Lightning's name of it.
        channels_last: Whether images and weights are kept in channels-last layout.
    """

    precision: str
    channels_last: bool

    def __str__(self) -> str:
        """As a line of a run tells it."""
        return f"{self.precision} {'channels-last' if self.channels_last else 'contiguous'}"


class Trial(NamedTuple):
    """What was measured.

    Attributes:
        ms: Milliseconds of the shortest training step, by way; those that failed are left out.
        images: In such a step.
    """

    ms: dict[Way, float]
    images: int

    def fastest(self) -> Way:
        """The way to take: the fastest; float32 where it takes at most 3 % longer."""
        least = min(self.ms.values())
        close = [way for way, ms in self.ms.items() if ms <= _TIE * least]
        exact = [way for way in close if way.precision == "32-true"]
        return min(exact or close, key=self.ms.__getitem__)


def trial(
    step: Callable[[Way, int], None],
    ways: Sequence[Way],
    batch: int,
    clock: Callable[[], float] = time.perf_counter,
) -> Trial:
    """Time training steps in rounds, in which the ways take turns.

    A few images rule out ways that take 1.5 times as long as the best one: their time for a whole
    batch is estimated. The others are timed on whole batches, or on what takes about half a second.
    The shortest step counts: whatever else runs on the machine only ever adds time.

    Args:
        step: A training step on that many images; returns once the device is done.
        ways: To be compared; one whose first step raises is out.
        batch: Images in a step of the run.
        clock: In seconds.

    Returns:
        Their times; empty where all ways failed.
    """
    few = min(_FEW, batch)
    running = [way for way in ways if _runs(step, way, few)]
    if not running:
        return Trial({}, few)
    first = _least(step, running, few, clock)
    least = min(first.values())
    images = max(few, min(batch, int(few * _MOST_S / least))) if least > 0 else batch
    found = {way: 1000 * seconds * images / few for way, seconds in first.items()}
    hopeful = [way for way in running if first[way] <= _HOPELESS * least]
    if len(hopeful) > 1 and images > few:
        hopeful = [way for way in hopeful if _runs(step, way, images)]
        if hopeful:
            found |= {w: 1000 * s for w, s in _least(step, hopeful, images, clock).items()}
    return Trial(found, images)


def _runs(step: Callable[[Way, int], None], way: Way, images: int) -> bool:
    """Take a step that is not counted: a first one prepares what later ones use."""
    try:
        step(way, images)
    except Exception:  # an operation that a precision lacks, or a student that its run will refuse
        return False
    return True


def _least(
    step: Callable[[Way, int], None], ways: Sequence[Way], images: int, clock: Callable[[], float]
) -> dict[Way, float]:
    """Seconds of each way's shortest step."""
    fewest, most = _ROUNDS
    taken: dict[Way, list[float]] = {way: [] for way in ways}
    begun = clock()
    for number in range(most):
        if number >= fewest and clock() - begun > _BUDGET_S:
            break
        for way in ways:
            before = clock()
            step(way, images)
            taken[way].append(clock() - before)
    return {way: min(times) for way, times in taken.items()}
