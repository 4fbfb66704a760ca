"""A sweep's trials on a Ray cluster: Ray Tune runs the trials of the queue here."""

import os
from pathlib import Path
from typing import Any, Protocol

from distill.bench.processes import Task, TaskResult, run_in_subprocess
from distill.bench.sweep.trial_queue import NotYetError, Trial, TrialQueue
from distill.core.errors import RecipeError
from distill.runs.repeatable import RepeatableRun


class Plan(Protocol):
    """Makes the runs of trials in a folder; a sweep's plan does."""

    @property
    def out(self) -> Path:
        """The folder."""

    def run(self, trial: Trial) -> RepeatableRun:
        """Make the run of a trial."""


class OutcomeSink(Protocol):
    """Takes the results of trials; a sweep's TrialRecorder does."""

    def record(self, result: TaskResult) -> None:
        """Record one result; its key is the trial."""


def run_on_ray(
    plan: Plan, queue: TrialQueue, recorder: OutcomeSink, address: str, jobs: int
) -> None:
    """Run all trials of a queue on a Ray cluster.

    Each trial gets its part of the cluster's cores and GPUs. Token authentication is on: a cluster
    that anybody may reach runs anybody's code.

    Args:
        plan: The sweep.
        queue: Gives the trials.
        recorder: Takes their results.
        address: The cluster's, ``auto``, or ``local`` for one that is started on this machine.
        jobs: Number of trials at once.

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
                search_alg=_searcher(plan, queue, recorder),
                num_samples=-1,
                max_concurrent_trials=jobs,
            ),
            run_config=tune.RunConfig(name="ray", storage_path=str(plan.out.resolve()), verbose=0),
        ).fit()
    finally:
        ray.shutdown()


def _train(config: dict[str, Any]) -> None:
    """Train one trial on a worker."""
    from ray import tune

    os.chdir(config["folder"])
    run: RepeatableRun = config["run"]
    # In a process of its own: a run handles signals, which needs a main thread.
    result = run_in_subprocess(Task(None, run.train, ()))
    tune.report({"outcome": [result.error, result.kind, result.traceback]})


def _searcher(plan: Plan, queue: TrialQueue, recorder: OutcomeSink) -> Any:  # noqa: ANN401 - Ray's Searcher
    from ray.tune.search import Searcher  # type: ignore[import-not-found, unused-ignore]

    class FromQueue(Searcher):  # type: ignore[misc, unused-ignore]
        """Gives Tune the trials of a queue."""

        def __init__(self, plan: Plan, queue: TrialQueue, recorder: OutcomeSink) -> None:
            super().__init__()
            self._plan, self._queue, self._recorder = plan, queue, recorder
            self._taken: dict[str, Trial] = {}

        def suggest(self, trial_id: str) -> Any:  # noqa: ANN401 - a dict, or Ray's mark of the end
            try:
                trial = self._queue.take()
            except NotYetError:
                return None
            if trial is None:
                return Searcher.FINISHED
            self._taken[trial_id] = trial
            return {"run": self._plan.run(trial), "folder": str(Path.cwd())}

        def on_trial_complete(
            self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
        ) -> None:
            lost = ["Ray lost the trial", "RayError", ""]
            fields = (result or {}).get("outcome", lost)
            self._recorder.record(TaskResult(self._taken[trial_id], None, *fields))

        # Tune saves its searcher to restore it; here the journal keeps the trials.
        def __getstate__(self) -> dict[str, Any]:
            return {}

        def save(self, checkpoint_path: str) -> None:
            """Do nothing: the journal keeps the trials."""

        restore = save

    return FromQueue(plan, queue, recorder)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
