"""Tree-structured Parzen estimator (Bergstra et al., NeurIPS 2011), Optuna's."""

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from distill.core.errors import RecipeError
from distill.core.randomness import fold
from distill.search.strategy import Design, Outcome, Search

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial


class Bayes:
    """Draws where past designs were good rather than bad, by densities of each decision.

    Values that are numbers in rising order are neighbours; others have no order.

    Args:
        warm: Random designs at the start.

    Raises:
        RecipeError: If Optuna is not installed.
    """

    def __init__(self, warm: int = 10) -> None:
        try:
            import optuna
        except ImportError as error:
            raise RecipeError(
                "strategy", "Bayes needs Optuna: pip install distill[sweep]"
            ) from error
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.warm = warm

    def propose(
        self, search: Search, trial: int, attempt: int, history: Sequence[Outcome]
    ) -> Design:
        """The design of a trial, as :class:`distill.search.strategy.Strategy` says."""
        import optuna

        space = {name: _distribution(values) for name, values in search.space.decisions.items()}
        # A study in memory, so that the draw depends on this key and this history alone.
        key = fold(search.seed, "bayes", trial, attempt) % 2**32
        sampler = optuna.samplers.TPESampler(seed=key, n_startup_trials=self.warm)
        study = optuna.create_study(direction="maximize", sampler=sampler)
        study.add_trials([_lesson(one, space) for one in history])
        drawn = study.ask(space).params
        return tuple(drawn[name] for name in space)


def _distribution(values: Sequence[Any]) -> "BaseDistribution":
    from optuna.distributions import CategoricalDistribution, IntDistribution

    numbers = all(isinstance(v, int | float) and not isinstance(v, bool) for v in values)
    if numbers and all(a < b for a, b in pairwise(values)):
        return IntDistribution(0, len(values) - 1)
    return CategoricalDistribution(tuple(range(len(values))))


def _lesson(outcome: Outcome, space: "dict[str, BaseDistribution]") -> "FrozenTrial":
    """A past trial for TPE, which ranks a pruned one without a value behind all others."""
    from optuna.trial import TrialState, create_trial

    state = TrialState.PRUNED if outcome.values is None else TrialState.COMPLETE
    return create_trial(
        state=state,
        params=dict(zip(space, outcome.design, strict=True)),
        distributions=space,
        value=None if outcome.values is None else outcome.values[0],
    )
