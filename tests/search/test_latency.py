"""Tables of latencies, measured by a clock that is none."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from distill.core.errors import RecipeError
from distill.core.files import write_csv
from distill.recipes import Recipe
from distill.search.latency import LatencyTable, layers, line

IMAGE = (1, 8, 8)


def _recipe(width: int, depth: int = 1) -> Recipe:
    stage = {"op": "conv", "width": width, "depth": depth, "kernel": 3, "stride": 1}
    chain = {"family": "chain", "stem": 4, "stages": [stage]}
    arguments = {"architecture": chain, "num_classes": 10, "in_channels": 1}
    student = {"class_path": "students.from_architecture", "init_args": arguments}
    return Recipe({"model": {"student": student}})


RECIPES = [_recipe(width, depth) for width in (4, 8) for depth in (1, 2, 3)]


class Clock:
    """Says that a call takes a millisecond per operator, and two more where it is a network."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, call: Callable[[], object], seconds: float) -> float:
        self.calls += 1
        found = 0

        def note(module: nn.Module, *_: object) -> None:
            nonlocal found
            found += not list(module.children()) and not isinstance(module, nn.Identity)

        with torch.nn.modules.module.register_module_forward_hook(note):
            call()
        return float(found + 2 * (found > 1))


def test_the_line_finds_what_a_network_takes_beside_its_layers(tmp_path: Path) -> None:
    table = LatencyTable(tmp_path / "latency.csv", clock=Clock())
    table.measure(RECIPES[:5], [RECIPES[5]], IMAGE)
    for recipe in RECIPES:
        count = len(layers(recipe, (1, *IMAGE), every=True))
        assert table.predict(recipe, IMAGE) == pytest.approx(count + 2, rel=1e-3)
    assert table.error() < 1e-9


def test_what_the_file_has_is_not_measured_again(tmp_path: Path) -> None:
    path = tmp_path / "latency.csv"
    first = LatencyTable(path, clock=Clock())
    first.measure(RECIPES[:2], [], IMAGE)
    text, clock = path.read_bytes(), Clock()
    again = LatencyTable(path, clock=clock)
    again.measure(RECIPES[:2], [], IMAGE)
    assert clock.calls == 0
    assert path.read_bytes() == text
    assert again.digest() == first.digest()
    assert again.predict(RECIPES[3], IMAGE) == first.predict(RECIPES[3], IMAGE)


def test_a_table_cut_short_by_a_kill_is_gone_on_with(tmp_path: Path) -> None:
    path, clock = tmp_path / "latency.csv", Clock()
    LatencyTable(path, clock=clock).measure(RECIPES[:2], [], IMAGE)
    lines, whole = path.read_bytes().splitlines(keepends=True), clock.calls
    path.write_bytes(b"".join(lines[:4]))
    clock = Clock()
    LatencyTable(path, clock=clock).measure(RECIPES[:2], [], IMAGE)
    assert clock.calls == whole - 3 * 5
    assert path.read_bytes() == b"".join(lines)


def test_a_noisy_clock_is_refused_with_its_figures(tmp_path: Path) -> None:
    times = iter(range(1, 100))
    table = LatencyTable(tmp_path / "latency.csv", clock=lambda call, seconds: float(next(times)))
    with pytest.raises(RecipeError, match=r"too noisy: rounds of 11, 12, 13, 14, 15 ms"):
        table.measure(RECIPES[:1], [], IMAGE)


def test_a_table_of_another_machine_is_refused_by_both_names(tmp_path: Path) -> None:
    path = tmp_path / "latency.csv"
    row = {"kind": "layer", "name": "a", "work": 1, "ms": 1.0, "machine": "an abacus"}
    write_csv(path, [row], list(row))
    with pytest.raises(RecipeError, match=r"is of an abacus, this is .*; --remeasure"):
        LatencyTable(path)


def test_the_line_has_the_least_relative_errors() -> None:
    points = [(1.0, 2.0), (2.0, 5.0), (4.0, 7.0), (5.0, 11.0)]

    def loss(intercept: float, slope: float) -> float:
        return sum(((intercept + slope * x - y) / y) ** 2 for x, y in points)

    a, b = line(points)
    near = [loss(a + da, b + db) for da in (-1e-3, 0, 1e-3) for db in (-1e-3, 0, 1e-3)]
    assert loss(a, b) == min(near)
