"""A sweep as a file, in the schema of W&B's sweep configuration.

The same file works with ``wandb sweep`` and ``wandb agent``: its ``command`` is
``distill fit RECIPE ${args}``, and the agent writes the parameters where ``${args}`` stands.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from distill.bench.sweep.command import Command, read_command
from distill.bench.sweep.hyperband import EarlyTerminate, read_early_terminate
from distill.bench.sweep.space import Parameter, combinations, read_parameters
from distill.core.errors import RecipeError
from distill.core.suggest import nearest
from distill.recipes import read
from distill.results.ranking import Metric

Tree = dict[str, Any]
_METHODS = ("grid", "random", "bayes")
_READ = (
    "method",
    "parameters",
    "metric",
    "run_cap",
    "early_terminate",
    "program",
    "command",
    "name",
    "project",
)
_IGNORED = ("description", "entity", "apiVersion", "kind")
_METRIC = ("name", "goal", "impute", "impute_while_running")
_W_AND_B_ONLY = ("controller", "job", "image_uri", "scheduler", "metrics")


@dataclass(frozen=True)
class Sweep:
    """A sweep file, checked.

    Attributes:
        method: ``grid``, ``random`` or ``bayes``.
        parameters: What is searched, by dotted key.
        metric: What is searched for.
        trials: How many runs.
        command: What each of them runs.
        early_terminate: Where worse runs are stopped, if they are.
        name: What to call it, and its group of W&B runs.
        project: The W&B project, if the file names one.
        written: The parameters as the file has them.
    """

    method: Literal["grid", "random", "bayes"]
    parameters: dict[str, Parameter]
    metric: Metric
    trials: int
    command: Command
    early_terminate: EarlyTerminate | None
    name: str
    project: str | None
    written: str


def read_sweep(path: Path) -> Sweep:
    """Read a sweep file.

    Raises:
        RecipeError: Naming the key that is wrong or that works only with a W&B server.
    """
    tree = read(path)
    for key in tree:
        if key in _W_AND_B_ONLY:
            raise RecipeError(f"{path}: {key}", "works with a W&B server only, see `wandb sweep`")
        if key not in (*_READ, *_IGNORED):
            raise RecipeError(f"{path}: {key}", f"is not known{nearest(str(key), _READ)}")
    method = tree.get("method")
    if method not in _METHODS:
        needed = f"needs one of {', '.join(_METHODS)}, got {method!r}"
        raise RecipeError(f"{path}: method", needed + nearest(str(method), _METHODS))
    for key in ("name", "project", "program"):
        if not isinstance(tree.get(key, ""), str):
            raise RecipeError(f"{path}: {key}", f"needs text, got {tree[key]!r}")
    parameters = read_parameters(f"{path}: parameters", tree.get("parameters") or {})
    return Sweep(
        method=method,
        parameters=parameters,
        metric=read_metric(f"{path}: metric", tree.get("metric"), "early_terminate" in tree),
        trials=_trials(f"{path}: run_cap", method, tree.get("run_cap"), parameters),
        command=read_command(f"{path}: command", tree),
        early_terminate=read_early_terminate(
            f"{path}: early_terminate", tree.get("early_terminate")
        ),
        name=tree.get("name", path.stem),
        project=tree.get("project"),
        written=json.dumps(tree["parameters"], default=str),
    )


def read_metric(key: str, given: object, needed: bool = True) -> Metric:
    """The figure to choose by, and whether more of it is better.

    Args:
        key: Where it stands, for a message.
        given: What stands there.
        needed: Whether it must be there.

    Raises:
        RecipeError: If it is no ``name`` and ``goal``, or a figure of the test images.
    """
    if given is None and not needed:
        return Metric()
    if not isinstance(given, Mapping):
        raise RecipeError(key, f"needs name and goal, got {given!r}")
    for word in given:
        if word not in _METRIC:
            raise RecipeError(f"{key}.{word}", f"is not known{nearest(str(word), _METRIC)}")
    name, goal = given.get("name"), given.get("goal")
    if not isinstance(name, str):
        raise RecipeError(f"{key}.name", f"needs a name such as val/loss, got {name!r}")
    if name.startswith("test/"):
        message = "test images are only reported, choose by a figure of val/"
        raise RecipeError(f"{key}.name", message)
    if goal not in ("maximize", "minimize"):
        # W&B would minimize an accuracy whose goal is not written.
        raise RecipeError(f"{key}.goal", f"needs maximize or minimize, got {goal!r}")
    return Metric(name, goal)


def _trials(key: str, method: str, cap: object, parameters: Mapping[str, Parameter]) -> int:
    if cap is not None and (not isinstance(cap, int) or isinstance(cap, bool) or cap < 1):
        raise RecipeError(key, f"needs a whole number of at least 1, got {cap!r}")
    if method == "grid":
        number = combinations(key.replace("run_cap", "parameters"), parameters)
        return number if cap is None else min(cap, number)
    if cap is None:
        raise RecipeError(key, f"{method} needs it: nothing else ends a sweep here")
    return cap
