"""A sweep's trials on a Ray cluster: Ray Tune carries out what the search gives out here."""

import os
from pathlib import Path
from typing import Any, Protocol

from distill.bench.processes import Outcome, Task, carry_out_apart
from distill.bench.sweep.search import Search, Trial
from distill.bench.sweep.trials import Plan
from distill.core.errors import RecipeError
from distill.runs.repeatable import RepeatableRun


class Notes(Protocol):
    """Where outcomes are noted; a sweep's Board."""

    def note(self, outcome: Outcome) -> None:
        """Note one outcome; its key is the trial."""


def carry_out_on_ray(plan: Plan, search: Search, board: Notes, address: str, jobs: int) -> None:
    """Carry out all trials of a search on a Ray cluster.

    Each trial gets its part of the cluster's cores and GPUs. Token authentication is on: a cluster
    that anybody may reach runs anybody's code.

    Args:
        plan: The sweep.
        search: Where the trials come from.
        board: Where their outcomes go.
        address: The cluster's, ``auto``, or ``local`` for one that is started on this machine.
        jobs: Trials at once.

    Raises:
        RecipeError: If Ray is not installed or there is no cluster.
    """
    os.environ.setdefault("RAY_AUTH_MODE", "token")
    # Paths in recipes are relative to the folder where the command was given.
    os.environ.setdefault("RAY_CHDIR_TO_TRIAL_DIR", "0")
    try:
        import ray  # type: ignore[import-not-found, unused-ignore]
        from ray import tune  # type: ignore[import-not-found, unused-ignore]
    except ImportError as error:
        raise RecipeError("--ray", "needs Ray: pip install distill[ray]") from error
    try:
        ray.init(address=address, log_to_driver=False, logging_level="ERROR")
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise RecipeError("--ray", f"no cluster at {address}: {_first_line(error)}") from error
    try:
        share = {
            "cpu": max(1, int(ray.cluster_resources().get("CPU", 1)) // jobs),
            "gpu": ray.cluster_resources().get("GPU", 0) / jobs,
        }
        tune.Tuner(
            tune.with_resources(_train, share),
            tune_config=tune.TuneConfig(
                search_alg=_searcher(plan, search, board),
                num_samples=-1,
                max_concurrent_trials=jobs,
            ),
            run_config=tune.RunConfig(name="ray", storage_path=str(plan.out.resolve()), verbose=0),
        ).fit()
    finally:
        ray.shutdown()


def _train(config: dict[str, Any]) -> None:
    """One trial on a worker."""
    from ray import tune

    os.chdir(config["folder"])
    run: RepeatableRun = config["run"]
    # Apart, as a run listens to signals, for which it needs a main thread.
    outcome = carry_out_apart(Task(None, run.train, ()))
    tune.report({"outcome": [outcome.error, outcome.kind, outcome.traceback]})


def _searcher(plan: Plan, search: Search, board: Notes) -> Any:  # noqa: ANN401 - Ray's Searcher
    from ray.tune.search import Searcher  # type: ignore[import-not-found, unused-ignore]

    class FromSearch(Searcher):  # type: ignore[misc, unused-ignore]
        """Gives Tune the trials of a search."""

        def __init__(self, plan: Plan, search: Search, board: Notes) -> None:
            super().__init__()
            self._plan, self._search, self._board = plan, search, board
            self._taken: dict[str, Trial] = {}

        def suggest(self, trial_id: str) -> Any:  # noqa: ANN401 - a dict or Ray's word for the end
            trial = self._search.take()
            if trial is None:
                return Searcher.FINISHED
            self._taken[trial_id] = trial
            return {"run": self._plan.run(trial), "folder": str(Path.cwd())}

        def on_trial_complete(
            self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
        ) -> None:
            gone = ["Ray lost the trial", "RayError", ""]
            told = (result or {}).get("outcome", gone)
            self._board.note(Outcome(self._taken[trial_id], None, *told))

        # Tune writes its searcher down to restore it; here the journal keeps the trials.
        def __getstate__(self) -> dict[str, Any]:
            return {}

        def save(self, checkpoint_path: str) -> None:
            """Nothing, as above."""

        def restore(self, checkpoint_path: str) -> None:
            """Nothing, as above."""

    return FromSearch(plan, search, board)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
