"""Which trial comes next: a function of the sweep's seed, the trial's number and past results.

The trials are kept in an Optuna study in a journal file, which any number of processes may share
and which ``optuna-dashboard`` shows. A trial enters it whole, with its parameters, and is given to
one process at a time by a lock that ends with the process; a trial whose process is gone is given
to another.
"""

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from distill.bench.sweep.space import Parameter, combination
from distill.bench.sweep.spec import Sweep
from distill.bench.sweep.studies import open_study
from distill.core.errors import RecipeError
from distill.core.randomness import fold

if TYPE_CHECKING:
    import optuna

JOURNAL = "journal.log"
Proposer = Callable[[int, Sequence["optuna.trial.FrozenTrial"]], "optuna.trial.FrozenTrial | None"]


class NotYetError(Exception):
    """The next trial depends on one that has no result yet."""


@dataclass(frozen=True)
class Trial:
    """One trial.

    Attributes:
        number: Its place in the sweep, from 0.
        parameters: Values by dotted key.
        wandb_id: The id of its W&B run, kept when the trial resumes after a kill.
    """

    number: int
    parameters: dict[str, Any]
    wandb_id: str


class TrialQueue:
    """Hands out the trials of a sweep.

    Args:
        sweep: The sweep.
        folder: Of the journal and the locks; created if missing.
        seed: Of the search.
        digest: Of everything that the trials depend on.
        propose: The trial of a number, given those before it; None where there is no other. May
            raise NotYetError. Left out: as the sweep's method says.

    Raises:
        RecipeError: If the folder contains another sweep, or Optuna is not installed.
    """

    def __init__(
        self,
        sweep: Sweep,
        folder: Path,
        seed: int,
        digest: str,
        propose: Proposer | None = None,
    ) -> None:
        self._sweep, self._seed = sweep, seed
        self._locks = folder / "locks"
        self._locks.mkdir(parents=True, exist_ok=True)
        self._held: dict[int, FileLock] = {}
        self._left_open: set[int] = set()
        self._study = open_study(folder / JOURNAL, sweep.metric.goal)
        self._propose = propose or partial(_suggested, sweep, seed, self._study)
        with FileLock(self._locks / "search"):
            known = self._study.user_attrs.setdefault("digest", digest)
            if known != digest:
                message = "contains another sweep, or one with other settings; choose another --out"
                raise RecipeError(str(folder), message)
            self._study.set_user_attr("digest", digest)

    def take(self) -> Trial | None:
        """Lock a trial that no process runs, until ``tell`` or ``give_back``; None if all are.

        Raises:
            NotYetError: If the next one depends on a trial without a result.
        """
        import optuna

        with FileLock(self._locks / "search"):
            trials = self._study.get_trials(deepcopy=False)
            for trial in trials:
                running = trial.state == optuna.trial.TrialState.RUNNING
                if running and trial.number not in self._left_open and self._lock(trial.number):
                    return _trial(trial)
            if len(trials) >= self._sweep.trials:
                return None
            proposed = self._next(trials)
            if proposed is None or not self._lock(len(trials)):
                return None
            self._study.add_trial(proposed)
            return _trial(self._study.get_trials(deepcopy=False)[len(trials)])

    def tell(self, number: int, value: float | None, stopped: bool = False) -> None:
        """Record the result of a trial.

        Args:
            number: Of the trial.
            value: The metric; None if the trial diverged, which counts as worse than any value.
            stopped: Whether the trial was stopped early.
        """
        import optuna

        states = optuna.trial.TrialState
        if value is None:
            self._study.tell(number, state=states.FAIL)
        elif stopped:
            self._study.set_user_attr(_stopped(number), value)
            self._study.tell(number, state=states.PRUNED)
        else:
            self._study.tell(number, value, state=states.COMPLETE)
        self._held.pop(number).release()

    def give_back(self, number: int) -> None:
        """Unlock a trial that failed for a reason of the machine's; another session may take it."""
        self._left_open.add(number)
        self._held.pop(number).release()

    def trials(self) -> list[Trial]:
        """List all trials that were taken, in order."""
        return [_trial(trial) for trial in self._study.get_trials(deepcopy=False)]

    def finished(self) -> set[int]:
        """The numbers of the trials with a result."""
        trials = self._study.get_trials(deepcopy=False)
        return {trial.number for trial in trials if trial.state.is_finished()}

    def values(self) -> dict[int, float | None]:
        """What was recorded of the trials with a result, None of those that diverged."""
        trials = self._study.get_trials(deepcopy=False)
        return {trial.number: trial.value for trial in trials if trial.state.is_finished()}

    def close(self) -> None:
        """Unlock the trials that were taken here and have no result."""
        for lock in self._held.values():
            lock.release()
        self._held.clear()

    def importances(self) -> dict[str, float]:
        """Share of the metric's variance that each parameter accounts for (fANOVA), by name.

        Empty where too few trials have a value.
        """
        import optuna

        done = [t for t in self._study.get_trials(deepcopy=False) if t.value is not None]
        if len({trial.value for trial in done}) < 2:
            return {}
        varied = [name for name, p in self._sweep.parameters.items() if _varies(p)]
        evaluator = optuna.importance.FanovaImportanceEvaluator(seed=self._seed)
        found = optuna.importance.get_param_importances(
            self._study, evaluator=evaluator, params=varied
        )
        return {name: float(part) for name, part in found.items()}

    def _next(
        self, trials: Sequence["optuna.trial.FrozenTrial"]
    ) -> "optuna.trial.FrozenTrial | None":
        try:
            return self._propose(len(trials), trials)
        except NotYetError:
            if self._left_open:  # what depends on a trial that was given back waits for its session
                return None
            raise

    def _lock(self, number: int) -> bool:
        if number in self._held:
            return False
        lock = FileLock(self._locks / f"trial{number:03d}", timeout=0)
        try:
            lock.acquire()
        except Timeout:
            return False
        self._held[number] = lock
        return True


def _suggested(
    sweep: Sweep,
    seed: int,
    study: "optuna.Study",
    number: int,
    history: Sequence["optuna.trial.FrozenTrial"],
) -> "optuna.trial.FrozenTrial":
    """The trial of a number as the sweep's method says."""
    import optuna

    space = coordinates(sweep)
    if sweep.method == "grid":
        drawn: dict[str, Any] = combination(sweep.parameters, number)
    else:
        # A study in memory, so that the draw depends on this key and this history alone.
        sampler = _sampler(sweep, fold(seed, "sweep", number) % 2**32)
        scratch = optuna.create_study(direction=sweep.metric.goal, sampler=sampler)
        scratch.add_trials(_lessons(history, study.user_attrs) if sweep.method == "bayes" else [])
        drawn = scratch.ask(space).params
    parameters = {name: _value(p, drawn[name]) for name, p in sweep.parameters.items()}
    return optuna.trial.create_trial(
        state=optuna.trial.TrialState.RUNNING,
        params=drawn,
        distributions=space,
        user_attrs={"parameters": parameters, "wandb_id": secrets.token_hex(4)},
    )


def _sampler(sweep: Sweep, key: int) -> "optuna.samplers.BaseSampler":
    import optuna

    if sweep.method == "random":
        return optuna.samplers.RandomSampler(seed=key)
    return optuna.samplers.TPESampler(seed=key)


def _lessons(
    history: Sequence["optuna.trial.FrozenTrial"], stopped: Mapping[str, Any]
) -> list["optuna.trial.FrozenTrial"]:
    """Convert past trials for TPE: the diverged ones become the worst of all.

    TPE leaves failed trials out, and would try a region again where every loss is infinite. It
    ranks trials that ended early behind those that did not, and those without a value last.
    """
    import optuna

    states = optuna.trial.TrialState
    lessons = []
    for trial in history:
        ended_early = trial.state in (states.FAIL, states.PRUNED)
        value = stopped.get(_stopped(trial.number))
        lesson = optuna.trial.create_trial(
            state=states.PRUNED,
            params=trial.params,
            distributions=trial.distributions,
            intermediate_values={} if value is None else {0: value},
        )
        lessons.append(lesson if ended_early else trial)
    return lessons


def coordinates(sweep: Sweep) -> dict[str, Any]:
    """Optuna's distributions: a probability, or a place in a list, per parameter."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution

    return {
        name: CategoricalDistribution(range(len(parameter.values or ())))
        if sweep.method == "grid" or parameter.quantile is None
        else FloatDistribution(0.0, 1.0)
        for name, parameter in sweep.parameters.items()
    }


def _stopped(number: int) -> str:
    """Key of the study's attribute with the value of a trial that was stopped early."""
    return f"value of stopped trial {number}"


def _value(parameter: Parameter, coordinate: float) -> Any:  # noqa: ANN401 - any recipe value
    if parameter.quantile is not None and isinstance(coordinate, float):
        return parameter.quantile(coordinate)
    return (parameter.values or ())[int(coordinate)]


def _varies(parameter: Parameter) -> bool:
    return parameter.values is None or len(parameter.values) > 1


def _trial(frozen: "optuna.trial.FrozenTrial") -> Trial:
    attributes = frozen.user_attrs
    return Trial(frozen.number, attributes["parameters"], attributes["wandb_id"])
