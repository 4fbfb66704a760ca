"""Random search: every design as likely as any other."""

from collections.abc import Sequence

from distill.search.strategy import Design, Outcome, Search, random_design


class Random:
    """Draws each decision uniformly; what every other strategy must beat."""

    def propose(
        self, search: Search, trial: int, attempt: int, history: Sequence[Outcome]
    ) -> Design:
        """The design of a trial, as :class:`distill.search.strategy.Strategy` says."""
        return random_design(search, trial, attempt)
