"""Latency of designs, predicted from a table that is measured once and then stays as it is.

A live clock would give a resumed search other designs. The time of a network is taken to be a line
of the sum of its layers' times; the line goes through networks that are measured whole.
"""

import csv
import hashlib
import platform
import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from math import log, prod
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from distill.core.class_paths import resolve
from distill.core.errors import RecipeError
from distill.core.files import write_csv
from distill.core.trust import TRUSTED
from distill.metrics.cost import dummy_image
from distill.recipes import Recipe

LATENCY = "latency.csv"
ROUNDS, TRIES, APART = 5, 3, 0.05
_COLUMNS = ("kind", "name", "work", "ms", "machine")
_SECONDS = {"layer": 0.01, "network": 0.05}
Clock = Callable[[Callable[[], object], float], float]
Shape = tuple[int, ...]
Row = dict[str, Any]


class LatencyTable:
    """Milliseconds of layers and of whole networks, in a file that grows row by row.

    Args:
        path: The file; rows that it has are not measured again.
        batch: Images at once.
        clock: Measures a call for about so many seconds, and gives milliseconds.

    Raises:
        RecipeError: If the file is of another machine.
    """

    def __init__(self, path: Path, batch: int = 1, clock: Clock | None = None) -> None:
        self._path, self._batch, self._clock = path, batch, clock or milliseconds
        self._rows: dict[str, Row] = {}
        self._sums: list[tuple[float, float]] = []
        here = machine()
        for row in _read(path):
            if row["machine"] != here:
                told = f"is of {row['machine']}, this is {here}; --remeasure measures it again"
                raise RecipeError(str(path), told)
            self._rows[row["name"]] = row

    def digest(self) -> str:
        """SHA-256 of all rows."""
        rows = [[str(row[name]) for name in _COLUMNS] for row in self._rows.values()]
        return hashlib.sha256(repr(rows).encode()).hexdigest()

    def measure(
        self, fitted: Sequence[Recipe], others: Iterable[Recipe], image: tuple[int, int, int]
    ) -> None:
        """Measure what the table lacks.

        Args:
            fitted: Recipes of networks to measure whole, and layer by layer.
            others: Recipes of networks whose layers alone are measured.
            image: Shape (c, h, w).

        Raises:
            RecipeError: If the clock is too noisy.
        """
        whole, threads = list(fitted), torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            for recipe in (*whole, *others):
                for name, (layer, shape) in layers(recipe, self._shape(image)).items():
                    self._time("layer", name, layer, shape)
            for recipe in whole:
                network = student_of(recipe).eval()
                name = f"network {hashlib.sha256(repr(network).encode()).hexdigest()[:16]}"
                self._time("network", name, network, self._shape(image))
                self._sums.append((self._sum(recipe, image), float(self._rows[name]["ms"])))
        finally:
            torch.set_num_threads(threads)

    def predict(self, recipe: Recipe, image: tuple[int, int, int]) -> float:
        """Milliseconds of a recipe's student, to four digits."""
        intercept, slope = line(self._sums)
        return float(f"{intercept + slope * self._sum(recipe, image):.4g}")

    def error(self) -> float:
        """Median relative error for networks that are left out of the line in turn."""
        errors = []
        for place, (layers_ms, ms) in enumerate(self._sums):
            intercept, slope = line([*self._sums[:place], *self._sums[place + 1 :]])
            errors.append(abs(intercept + slope * layers_ms - ms) / ms)
        return statistics.median(errors)

    def _shape(self, image: tuple[int, int, int]) -> Shape:
        return (self._batch, *image)

    def _sum(self, recipe: Recipe, image: tuple[int, int, int]) -> float:
        found = layers(recipe, self._shape(image), every=True)
        return sum(self._of(name, *found[name]) for name in found)

    def _of(self, name: str, layer: nn.Module, shape: Shape) -> float:
        """A layer's time, as often as it stands there; of an unknown one that of the most alike."""
        own = name.partition(" #")[0]
        if own in self._rows:
            return float(self._rows[own]["ms"])
        kind, size = own.partition("(")[0], log(work(layer, shape))
        alike = [row for key, row in self._rows.items() if key.partition("(")[0] == kind]
        nearest = min(alike, key=lambda r: abs(log(float(r["work"])) - size), default={"ms": 0})
        return float(nearest["ms"])

    def _time(self, kind: str, name: str, module: nn.Module, shape: Shape) -> None:
        if name in self._rows:
            return
        module.to_empty(device="cpu") if _is_meta(module) else module
        image = dummy_image(shape[1:]).expand(shape).contiguous()
        with torch.no_grad():
            ms = self._steady(name, lambda: module(image), _SECONDS[kind])
        row = {"kind": kind, "name": name, "work": work(module, shape)}
        self._rows[name] = row | {"ms": float(f"{ms:.5g}"), "machine": machine()}
        write_csv(self._path, list(self._rows.values()), _COLUMNS)

    def _steady(self, name: str, call: Callable[[], object], seconds: float) -> float:
        """The median of rounds whose quartiles lie close together."""
        for _ in range(TRIES):
            rounds = [self._clock(call, seconds) for _ in range(ROUNDS)]
            low, middle, high = statistics.quantiles(rounds, n=4, method="inclusive")
            if high - low <= APART * middle:
                return middle
        figures = ", ".join(f"{ms:.4g}" for ms in rounds)
        told = f"the clock is too noisy: rounds of {figures} ms for {name[:60]}; try a quieter hour"
        raise RecipeError("constraints.latency_ms", told)


def milliseconds(call: Callable[[], object], seconds: float) -> float:
    """The median time of a call, repeated for some seconds after three calls to warm up."""
    for _ in range(3):
        call()
    found: list[float] = []
    while len(found) < 10 or sum(found) < seconds:
        started = time.perf_counter()
        call()
        found.append(time.perf_counter() - started)
    return 1000 * statistics.median(found)


def line(points: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Intercept and slope of the line with the least relative squared errors.

    Example:
        >>> [round(value, 6) for value in line([(1.0, 3.0), (2.0, 5.0), (4.0, 9.0)])]
        [1.0, 2.0]
    """
    table = np.asarray(points, dtype=np.float64)
    matrix = np.stack([1 / table[:, 1], table[:, 0] / table[:, 1]], axis=1)
    found: list[float] = np.linalg.lstsq(matrix, np.ones(len(table)), rcond=None)[0].tolist()
    return found[0], found[1]


def layers(recipe: Recipe, shape: Shape, every: bool = False) -> dict[str, tuple[nn.Module, Shape]]:
    """The layers of a recipe's student by what they are, each with the shape of its input.

    Args:
        recipe: The recipe.
        shape: Of the batch (b, c, h, w).
        every: Whether layers that are alike are listed each, as ``NAME #2`` and so on.
    """
    found: dict[str, tuple[nn.Module, Shape]] = {}

    def note(module: nn.Module, inputs: tuple[Any, ...], _: object) -> None:
        name = f"{module} {'x'.join(map(str, inputs[0].shape))}"
        if every and name in found:
            name = f"{name} #{len(found)}"
        found[name] = (module, tuple(inputs[0].shape))

    with torch.device("meta"), torch.no_grad():
        network = student_of(recipe).eval()
        leaves = [m for m in network.modules() if not list(m.children())]
        hooks = [m.register_forward_hook(note) for m in leaves if not isinstance(m, nn.Identity)]
        network(torch.empty(shape))
    for hook in hooks:
        hook.remove()
    return found


def work(layer: nn.Module, shape: Shape) -> int:
    """About how much a layer does: its inputs, times the weights that each of them meets."""
    weight = getattr(layer, "weight", None)
    many = isinstance(weight, Tensor) and weight.dim() > 1
    return prod(shape) * (prod(weight.shape) // weight.shape[1] if many else 1)  # type: ignore[union-attr]


def machine() -> str:
    """What a table's times hold for."""
    return f"{_processor()}, 1 thread, torch {torch.__version__}"


def _processor() -> str:
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.is_file() else []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())


def student_of(recipe: Recipe) -> nn.Module:
    """A recipe's student.

    Raises:
        RecipeError: If it is no network.
    """
    given: Mapping[str, Any] = recipe.get("model.student")
    network = resolve("model.student", given["class_path"], TRUSTED)(**given["init_args"])
    if not isinstance(network, nn.Module):
        raise RecipeError("model.student", "is no network")
    return network


def _is_meta(module: nn.Module) -> bool:
    return any(parameter.is_meta for parameter in module.parameters())


def _read(path: Path) -> list[Row]:
    if not path.is_file():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))
