"""The candidates of a search: proposed, trained a short time, recorded in the journal."""

import secrets
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console

from distill.bench.processes import Task, TaskResult
from distill.bench.progress import Progress
from distill.bench.runner import RunsFailedError
from distill.bench.sweep.trial_queue import NotYetError, Trial, TrialQueue
from distill.bench.sweep.trials import history
from distill.core.errors import RecipeError
from distill.core.suggest import nearest
from distill.results.ranking import Row
from distill.runs.repeatable import RepeatableRun
from distill.search.evaluations import Inherited
from distill.search.inheritance import Heirs
from distill.search.outcome import write_tables
from distill.search.plan import TRIALS, Plan, design_of
from distill.search.spec import COMPARISONS
from distill.search.strategies.derived import Derived
from distill.search.strategy import Design, Outcome, Search, draw, mutated, parents, visible
from distill.search.zero_cost import ZeroCost

if TYPE_CHECKING:
    import optuna

Drawn = tuple[Design, float | None]
HOPELESS = 10
_MUTATIONS = 500


class Proposer:
    """Proposes the next candidate: within the limits, new, and a function of past outcomes.

    Args:
        plan: The search.
        smallest: A design to begin from where draws do not meet the limits.
    """

    def __init__(self, plan: Plan, smallest: Design) -> None:
        self._plan, self._smallest = plan, smallest
        self._search = Search(plan.space, plan.seed, plan.file.sweep.trials)
        self._scores: dict[str, float] = {}

    def __call__(
        self, number: int, trials: "Sequence[optuna.trial.FrozenTrial]"
    ) -> "optuna.trial.FrozenTrial | None":
        """The trial of a number; None if no further design within the limits was found.

        Raises:
            NotYetError: If one that it depends on has no result.
        """
        import optuna

        finished = [trial for trial in trials if trial.state.is_finished()]
        seen = visible([self._outcome(one) for one in finished], number, self._plan.file.parallel)
        if seen is None:
            raise NotYetError
        known = {self._plan.space.key(_design(trial)) for trial in trials}
        found = self._filtered(number, seen, known)
        if found is None:
            return None
        design, score = found
        bred = parents(self._plan.file.strategy, self._search, number, design, seen)
        names = list(self._plan.space.decisions)
        sizes = self._search.sizes
        of_all = optuna.distributions.CategoricalDistribution
        return optuna.trial.create_trial(
            state=optuna.trial.TrialState.RUNNING,
            params=dict(zip(names, design, strict=True)),
            distributions={
                name: of_all(range(size)) for name, size in zip(names, sizes, strict=True)
            },
            user_attrs={
                "parameters": {"design": list(design), "parents": bred, "score": score},
                "wandb_id": secrets.token_hex(4),
            },
        )

    def _filtered(self, number: int, seen: Sequence[Outcome], known: set[str]) -> Drawn | None:
        """A design, or the one of several that a proxy likes best, with its score."""
        design, filter_ = self._draw(number, seen, known), self._plan.file.prefilter
        if design is None or filter_ is None:
            return None if design is None else (design, None)
        drawn = {self._plan.space.key(design): design}
        while len(drawn) < filter_.designs:
            design = self._draw(number, seen, known | drawn.keys())
            if design is None:
                break
            drawn[self._plan.space.key(design)] = design
        proxy, plan = ZeroCost(filter_.proxy), self._plan
        for key in drawn.keys() - self._scores.keys():
            self._scores[key] = proxy.score(plan.with_design(drawn[key]), plan.folder, plan.trusted)
        best = max(drawn, key=lambda key: self._scores[key])
        return drawn[best], self._scores[best]

    def _draw(self, number: int, seen: Sequence[Outcome], known: set[str]) -> Design | None:
        def allowed(design: Design) -> bool:
            return self._plan.space.key(design) not in known and self._plan.fits(design)

        strategy = self._plan.file.strategy
        if isinstance(strategy, Derived):
            return next((design for design in self._plan.derived if allowed(design)), None)
        found = draw(strategy, self._search, number, seen, allowed)
        parent = seen[-1].design if seen else self._smallest
        attempts = range(_MUTATIONS) if found is None else ()
        near = (mutated(self._search, parent, number, attempt) for attempt in attempts)
        return found or next((design for design in near if allowed(design)), None)

    def _outcome(self, trial: "optuna.trial.FrozenTrial") -> Outcome:
        design, file = _design(trial), self._plan.file
        if trial.value is None:
            return Outcome(trial.number, design, None)
        known = {file.sweep.metric.name: trial.value} | self._plan.costs(design)
        signs = {"maximize": 1.0, "minimize": -1.0}
        values = (signs[goal] * known[name] for name, goal in file.objectives.items())
        return Outcome(trial.number, design, tuple(values))


class Recorder:
    """Records the results of candidates, in the journal, in the tables and on a console.

    Args:
        plan: The search.
        queue: Gives the candidates.
        console: For messages.
    """

    def __init__(self, plan: Plan, queue: TrialQueue, console: Console) -> None:
        self._plan, self._queue = plan, queue
        self._inherits = isinstance(plan.file.evaluation, Inherited)  # values alone, and no runs
        self._rows: dict[int, Row] = {}
        self._failed, total = 0, plan.file.sweep.trials
        done = len(queue.finished())
        console.print(f"trials   {total}: {done} finished before", highlight=False)
        self._progress = Progress(console, total, done)

    def record(self, result: TaskResult) -> None:
        """Record one result; its key is the trial.

        Raises:
            RecipeError: If every one of the first candidates diverged.
        """
        trial: Trial = result.key
        line = f"trial {trial.number:3}"
        if result.error and result.kind != "NonFiniteError":
            self._failed += 1
            self._queue.give_back(trial.number)
            self._plan.run(trial).note_error(result.traceback or result.error)
            self._progress.ended(f"{line}  FAILED: {result.error}")
            return
        found = self._row(trial, result.value)
        self._queue.tell(trial.number, found["value"])
        if not self._inherits:  # they are many, and quick: their tables are written at the end
            self.rows()
        cost = f"{found['parameters']:,} parameters"
        score = "diverged" if found["value"] is None else f"{found['value']:.4g}"
        self._progress.ended(f"{line}  {self._plan.file.sweep.metric.name} {score}  {cost}")
        self._refuse_hopeless(result.error)

    def rows(self) -> list[Row]:
        """The rows of all finished candidates, as they are written into the tables."""
        values = self._queue.values()
        for trial in self._queue.trials():
            if trial.number in values and trial.number not in self._rows:
                self._rows[trial.number] = self._row(trial, values[trial.number])
        rows = [self._rows[number] for number in sorted(self._rows)]
        write_tables(self._plan, rows)
        return rows

    def finish(self) -> list[Row]:
        """The rows, once no candidate is left.

        Raises:
            RunsFailedError: If candidates failed.
        """
        if self._failed:
            told = f"{self._failed} trials failed; the same command tries them again"
            raise RunsFailedError(told)
        return self.rows()

    def _refuse_hopeless(self, error: str) -> None:
        enough = min(HOPELESS, self._plan.file.sweep.trials)
        if len(self._rows) >= enough and all(row["value"] is None for row in self._rows.values()):
            told = f"all of the first {len(self._rows)} candidates diverged: {error}"
            raise RecipeError("trials", told)

    def _row(self, trial: Trial, told: Any) -> Row:  # noqa: ANN401 - what its task returned
        design, found = design_of(trial), Row(trial=trial.number, state="diverged", value=None)
        if self._plan.file.prefilter:
            found["score"] = trial.parameters["score"]
        found["parent"] = " ".join(map(str, trial.parameters.get("parents", ())))
        found |= self._plan.space.chosen(design) | self._plan.costs(design)
        if self._inherits:
            known = {"state": "finished", "value": told} if told is not None else {}
            return found | known
        run = self._plan.run(trial)
        result, found["run_dir"] = run.result(), f"{TRIALS}/{run.run_dir.name}"
        if result is None:
            return found
        value = _value(run, result, self._plan.file.sweep.metric.name)
        return found | {"state": "finished", "value": value, "wall_s": result["wall_s"]}


def tasks(plan: Plan, queue: TrialQueue, heirs: Heirs | None = None) -> Iterator[Task | None]:
    """The candidates to train; None while the next one depends on one in progress.

    Args:
        plan: The search.
        queue: Gives the candidates.
        heirs: Evaluates them instead of a training, where they inherit.
    """
    while True:
        try:
            trial = queue.take()
        except NotYetError:
            yield None
            continue
        if trial is None:
            return
        if heirs is None:
            yield Task(trial, plan.run(trial).train, ())
        else:
            yield Task(trial, heirs.value, (design_of(trial),))


def _value(run: RepeatableRun, result: Row, metric: str) -> float:
    if metric.startswith("val/"):
        return history(run.run_dir / "metrics.csv", metric)[-1]
    known = result["diagnostics"]
    if not isinstance(known.get(metric), int | float):
        told = f"no run has {metric!r}, of validation images they have {', '.join(known)}"
        raise RecipeError("metric.name", told + nearest(metric, (*known, *COMPARISONS)))
    return float(known[metric])


def _design(trial: Any) -> Design:  # noqa: ANN401 - Optuna's
    return tuple(trial.user_attrs["parameters"]["design"])
