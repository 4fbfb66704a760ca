"""Runs on a Ray cluster: Ray Tune carries out the tasks that are chosen here."""

import logging
import os
import signal
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from distill.bench.processes import Task, TaskResult, run_in_subprocess
from distill.core.errors import Interrupted, RecipeError

_ATTEMPTS = 3
"""How often a run is begun again whose node or worker is gone."""


def run_on_ray(
    tasks: Iterable[Task | None],
    record: Callable[[TaskResult], None],
    folder: Path,
    address: str,
    jobs: int,
) -> None:
    """Run tasks on a Ray cluster; one whose node is gone is run again on another.

    Each gets its part of the cluster's cores and GPUs. Token authentication is on: a cluster that
    anybody may reach runs anybody's code.

    Args:
        tasks: The calls to make; None where the next one is known when one in progress has ended.
        record: Takes each result when its task ends, in this process.
        folder: Holds Ray's own notes, and all nodes see it.
        address: The cluster's, ``auto``, or ``local`` for one that is started on this machine.
        jobs: Number of tasks at once.

    Raises:
        RecipeError: If Ray is not installed or there is no cluster.
        Interrupted: After a signal.
    """
    os.environ.setdefault("RAY_AUTH_MODE", "token")
    # Paths in recipes are relative to the folder where the command was given.
    os.environ.setdefault("RAY_CHDIR_TO_TRIAL_DIR", "0")
    os.environ.setdefault("TUNE_DISABLE_SIGINT_HANDLER", "1")  # a signal ends the command
    try:
        import ray  # type: ignore[import-not-found, unused-ignore]
        from ray import tune  # type: ignore[import-not-found, unused-ignore]
    except ImportError as error:
        raise RecipeError("--ray", "needs Ray: pip install distill[ray]") from error
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise RecipeError("--ray", f"no cluster at {address}: {_first_line(error)}") from error
    running: dict[str, Task] = {}
    try:
        found = ray.nodes()  # type: ignore[no-untyped-call, unused-ignore]
        nodes = [node["Resources"] for node in found if node["Alive"]]
        tune.Tuner(
            tune.with_resources(_carry_out, share(nodes, jobs)),
            tune_config=tune.TuneConfig(
                search_alg=_searcher(iter(tasks), running, record),
                num_samples=-1,
                max_concurrent_trials=jobs,
            ),
            run_config=tune.RunConfig(
                name="ray",
                storage_path=str(folder.resolve()),
                failure_config=tune.FailureConfig(max_failures=_ATTEMPTS),
                verbose=0,
            ),
        ).fit()
    except tune.TuneError as error:
        raise error.__context__ or error from None  # what was raised where a result was recorded
    finally:
        ray.shutdown()
    if running:  # Tune ends so after a SIGUSR1
        told = "SIGUSR1: stopped; run the same command again to continue"
        raise Interrupted(signal.SIGUSR1, told)


def share(nodes: Sequence[Mapping[str, float]], jobs: int) -> dict[str, float]:
    """Cores and GPUs of each of several tasks at once: no more than the largest node has.

    Args:
        nodes: The resources of each.
        jobs: Number of tasks at once.
    """
    found = {}
    for name in ("CPU", "GPU"):
        of_each = [node.get(name, 0) for node in nodes]
        part = min(sum(of_each) / jobs, max(of_each, default=0))
        found[name.lower()] = float(int(part)) if part > 1 else part
    return found | {"cpu": max(1.0, float(int(found["cpu"])))}


def _carry_out(config: dict[str, Any]) -> None:
    """Carry out one task on a worker."""
    from ray import tune

    os.chdir(config["folder"])
    # In a process of its own: a run handles signals, which needs a main thread.
    result = run_in_subprocess(config["task"])
    tune.report({"outcome": result[1:]})


def _searcher(
    tasks: Iterator[Task | None],
    running: dict[str, Task],
    record: Callable[[TaskResult], None],
) -> Any:  # noqa: ANN401 - Ray's Searcher
    from ray.tune.search import Searcher  # type: ignore[import-not-found, unused-ignore]

    class FromTasks(Searcher):  # type: ignore[misc, unused-ignore]
        """Gives Tune the tasks."""

        # Given, not taken from the outer function: Tune pickles the class with what it refers to.
        def __init__(self, *given: Any) -> None:  # noqa: ANN401 - what the function was given
            super().__init__()
            self._tasks, self._running, self._record = given

        def suggest(self, trial_id: str) -> Any:  # noqa: ANN401 - a dict, or Ray's mark of the end
            try:
                task = next(self._tasks)
            except StopIteration:
                return Searcher.FINISHED
            if task is None:
                return None
            self._running[trial_id] = task
            sent = Task(None, task.function, task.arguments)
            return {"task": sent, "folder": str(Path.cwd())}

        def on_trial_complete(
            self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
        ) -> None:
            lost = [None, "Ray lost the run", "RayError", ""]
            outcome = (result or {}).get("outcome", lost)
            self._record(TaskResult(self._running.pop(trial_id).key, *outcome))

        # Tune saves its searcher to restore it; here what is finished lies in the run directories.
        def __getstate__(self) -> dict[str, Any]:
            return {}

        def save(self, checkpoint_path: str) -> None:
            """Do nothing: nothing is restored."""

        restore = save

    return FromTasks(tasks, running, record)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
