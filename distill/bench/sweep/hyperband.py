"""Hyperband's early stopping as W&B's sweeps do it: at each bracket the worse runs end.

After ``b`` validations, b a bracket, a run continues if its best value so far is among the best 1 /
eta of the values at the bracket of all runs that have reached it; with ``strict`` its own value at
the bracket must be. This is the rule of W&B's controller (hyperband_stopping.py of its
package sweeps, 0.3.0), which also looks at runs between two brackets; here that happens at brackets
alone. Unlike in the paper (Li et al., JMLR 18, 2018, arXiv 1603.06560) runs do not wait for each
other. The decision depends on what the runs' files hold and on nothing else, so a run that was
killed and resumed decides the same.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytorch_lightning as pl

from distill.core.errors import RecipeError
from distill.core.files import write_json
from distill.core.suggest import nearest

REPORTS = "validations.json"
_MOST_BRACKETS, _LAST_BRACKET = 100, 10**9
_WORDS = ("type", "min_iter", "max_iter", "s", "eta", "strict")


@dataclass(frozen=True)
class EarlyTerminate:
    """The rule by which worse runs are stopped.

    Attributes:
        brackets: Validations after which a run must be among the best.
        eta: A run must be among the best 1 / eta of the runs that reached the bracket.
        strict: Compare its value at the bracket, not its best one so far.
    """

    brackets: tuple[int, ...]
    eta: float
    strict: bool = False


class Hyperband(pl.Callback):
    """Records a run's metric at each validation, and ends the run where it is among the worse.

    A run that is ended finishes its epoch and leaves a result like any other; one that is in its
    last epoch is not ended.

    Args:
        run_dir: The run's directory, beside those of the other trials.
        metric: Name of the metric to compare, such as ``val/loss``.
        goal: ``maximize`` or ``minimize`` the metric.
        brackets: Numbers of validations after which to compare.
        eta: The best 1 / eta continue.
        strict: Compare the value at the bracket rather than the best one so far.
    """

    def __init__(
        self,
        run_dir: str,
        metric: str,
        goal: Literal["maximize", "minimize"],
        brackets: list[int],
        eta: float,
        strict: bool = False,
    ) -> None:
        self._run_dir, self._metric, self._goal = Path(run_dir), metric, goal
        self._brackets, self._eta, self._strict = brackets, eta, strict
        self._values: list[float] = []

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Stop a resumed run that had been stopped at a bracket before it was killed."""
        if stopped_at(self._run_dir) == len(self._values):
            trainer.should_stop = True

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Record the value, and compare it at a bracket."""
        if self._metric not in trainer.callback_metrics:
            known = nearest(self._metric, trainer.callback_metrics)
            raise RecipeError("metric.name", f"no run logs {self._metric!r}{known}")
        self._values.append(trainer.callback_metrics[self._metric].item())
        place = len(self._values)
        ends = trainer.current_epoch + 1 == trainer.max_epochs
        stop = place in self._brackets and not ends and self._is_worse(place)
        stopped = {"stopped_at": place if stop else None}
        write_json(self._run_dir / REPORTS, {"values": self._values} | stopped)
        if stop:
            trainer.should_stop = True

    def state_dict(self) -> dict[str, Any]:
        """Values so far, for a resumed run."""
        return {"values": list(self._values)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the values so far."""
        self._values = list(state_dict["values"])

    def _is_worse(self, bracket: int) -> bool:
        paths = self._run_dir.parent.glob(f"*/{REPORTS}")
        others = [_values(path) for path in paths if path.parent != self._run_dir]
        reached = [values[bracket - 1] for values in others if len(values) >= bracket]
        return is_worse(self._values, reached, self._eta, self._goal, self._strict)


def is_worse(
    values: Sequence[float],
    others: Sequence[float],
    eta: float,
    goal: str,
    strict: bool = False,
) -> bool:
    """Whether a run that has reached a bracket is outside the best 1 / eta.

    Args:
        values: One run's, the last of them at the bracket.
        others: The other runs' at the same bracket.
        eta: Above 1.
        goal: ``maximize`` or ``minimize``.
        strict: Compare its value at the bracket, not the best one so far.

    Example:
        >>> is_worse([80.0, 90.0], [91.0, 92.0], 3.0, "maximize")
        True
        >>> is_worse([93.0, 90.0], [91.0, 92.0], 3.0, "maximize")
        False
        >>> is_worse([93.0, 90.0], [91.0, 92.0], 3.0, "maximize", strict=True)
        True
    """
    sign = -1.0 if goal == "maximize" else 1.0
    ordered = sorted(sign * number for number in (values[-1], *others))
    own = sign * values[-1] if strict else min(sign * number for number in values)
    return own > ordered[int(len(ordered) / eta)]


def stopped_at(run_dir: Path) -> int | None:
    """Number of validations after which a run was stopped early; None if it was not."""
    path = run_dir / REPORTS
    found: int | None = json.loads(path.read_text())["stopped_at"] if path.is_file() else None
    return found


def read_early_terminate(key: str, given: object) -> EarlyTerminate | None:
    """Read ``early_terminate`` of a sweep file.

    Args:
        key: Names the section in messages.
        given: The section, or None.

    Raises:
        RecipeError: For the first thing that is wrong.
    """
    if given is None:
        return None
    if not isinstance(given, Mapping) or given.get("type") != "hyperband":
        raise RecipeError(key, f"needs type: hyperband, got {given!r}")
    for word in given:
        if word not in _WORDS:
            raise RecipeError(f"{key}.{word}", f"is not known{nearest(str(word), _WORDS)}")
    strict = given.get("strict", False)
    if not isinstance(strict, bool):
        raise RecipeError(f"{key}.strict", f"needs true or false, got {strict!r}")
    eta = given.get("eta", 3)
    if isinstance(eta, bool) or not isinstance(eta, (int, float)) or not 1 < eta < math.inf:
        raise RecipeError(f"{key}.eta", f"needs a number above 1, got {eta!r}")
    return EarlyTerminate(_brackets(key, given, eta), float(eta), strict)


def _brackets(key: str, given: Mapping[str, Any], eta: float) -> tuple[int, ...]:
    for word in ("min_iter", "max_iter", "s"):
        value = given.get(word, 1)
        if not isinstance(value, int) or not 1 <= value <= _LAST_BRACKET:
            message = f"needs a whole number of at least 1 and at most {_LAST_BRACKET:,}"
            raise RecipeError(f"{key}.{word}", f"{message}, got {value!r}")
    downwards = "max_iter" in given and "s" in given
    if not downwards and "min_iter" not in given:
        raise RecipeError(key, "needs min_iter, or max_iter and s")
    band = given["max_iter"] / eta if downwards else float(given["min_iter"])
    brackets: list[int] = []
    while len(brackets) < (given["s"] if downwards else _MOST_BRACKETS):
        if not 1 <= band <= _LAST_BRACKET:
            break
        brackets.append(int(band))
        band = band / eta if downwards else band * eta
    if not brackets:
        raise RecipeError(f"{key}.max_iter", f"leaves no bracket: {given['max_iter']} / {eta}")
    return tuple(sorted(set(brackets)))


def _values(path: Path) -> list[float]:
    values: list[float] = json.loads(path.read_text())["values"]
    return values
