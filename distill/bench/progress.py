"""Progress of a bench or a sweep: a line per run that ended, with the time left."""

import time

from rich.console import Console


class Progress:
    """Counts runs that ended and prints a line for each.

    Args:
        console: For the lines.
        total: Number of runs.
        finished: Number of runs that were finished before.
    """

    def __init__(self, console: Console, total: int, finished: int = 0) -> None:
        self._console, self._total = console, total
        self._before = self._done = finished
        self._started = time.monotonic()

    def ended(self, line: str) -> None:
        """Count a run that ended and print its line.

        Args:
            line: The run and its result.
        """
        self._done += 1
        place = f"{self._done}/{self._total}"
        self._console.print(
            f"{place:8} {line}{self._left()}", highlight=False, soft_wrap=True, markup=False
        )

    def _left(self) -> str:
        remaining = self._total - self._done
        if not remaining:
            return ""
        # Only the runs of this session, not those of earlier ones, say how long one takes.
        seconds = (time.monotonic() - self._started) / (self._done - self._before) * remaining
        return f"  about {duration(seconds)} left"


def duration(seconds: float) -> str:
    """Write seconds in two units at most.

    Example:
        >>> duration(5), duration(75), duration(7500)
        ('5 s', '1 min 15 s', '2 h 5 min')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
