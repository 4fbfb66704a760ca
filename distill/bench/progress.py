"""How far a bench or a sweep is: a line per run that ended, with the time left."""

import time

from rich.console import Console


class Progress:
    """Counts runs and prints them.

    Args:
        console: Where to print.
        total: How many runs there are.
        finished: How many of them were finished before.
    """

    def __init__(self, console: Console, total: int, finished: int = 0) -> None:
        self._console, self._total = console, total
        self._before = self._done = finished
        self._started = time.monotonic()

    def ended(self, line: str) -> None:
        """Print that a run ended.

        Args:
            line: What came of it.
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
        # The runs of this session, not what earlier ones left, tell how long one takes.
        seconds = (time.monotonic() - self._started) / (self._done - self._before) * remaining
        return f"  about {duration(seconds)} left"


def duration(seconds: float) -> str:
    """Seconds in two units at most.

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
