"""Recipes spoilt at random, run as far as their first step: they run, or end in a line."""

import contextlib
import copy
import io
import shutil
import signal
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import distill.augment
import distill.losses
import students
from distill.cli import main
from distill.runs.progress import RunRecord
from tests.fixtures.spoiling import (
    TREES,
    Place,
    Spoil,
    add,
    drop,
    nest,
    places,
    rename,
    retype,
    swap,
)

RUNS = 2_000
SECONDS = 60
NUMBERS = [0, -1, 1, 2, 3, 7, 1_000, 10**9, 2**63, 0.5, -0.5, 1e-9, 1e9, 1e38, 0.999, 1.5]
EXCHANGED = {
    "torch.optim": torch.optim.__all__,
    "torch.optim.lr_scheduler": torch.optim.lr_scheduler.__all__,
    "torch.nn": [name for name in dir(torch.nn) if name.endswith(("Loss", "ReLU", "1d", "2d"))],
    "distill.losses": distill.losses.__all__,
    "distill.augment": distill.augment.__all__,
    "distill.data": ["Digits", "Images", "TextLines", "PartlyLabelled", "MultiLabelImages"],
    "students": students.__all__,
}
NAMES = [name for name in TREES if name.startswith("digits/")]


class Stepped(BaseException):
    """A first step was done."""


class Hung(BaseException):
    """Nothing came of it."""


@dataclass
class Outcome:
    """How a run ended: ``2``, ``ran``, ``hung`` or the name of an exception."""

    end: str
    lines: int
    seconds: float
    left: bool
    told: str
    recipe: str

    @property
    def bad(self) -> bool:
        told = self.end == "2" and 1 <= self.lines <= 3 and not self.left
        # Peers take turns: after the first step this is a run that stopped, with its own code.
        stopped = self.end == "3" and "is not finite at step 0" in self.told and self.lines == 1
        return not (self.end == "ran" or told or stopped)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with the runs that digits recipes take as teachers, of one epoch each."""
    path = tmp_path_factory.mktemp("generated")
    few = ["--trainer.max_epochs=1", "--data.train_samples=100"]
    with contextlib.chdir(path), pytest.MonkeyPatch.context() as patch:
        patch.setenv("WANDB_MODE", "disabled")
        for recipe, name in (
            ("teacher", "teacher"),
            ("teacher_resnet20", "resnet20"),
            ("student", "student"),
        ):
            assert main(["fit", f"digits/{recipe}", "--run_dir", f"runs/digits/{name}", *few]) == 0
        yield path


def stretch(node: Any, key: Any, data: st.DataObject) -> None:
    """A number becomes another one; a class another one of its package."""
    value = node[key]
    if isinstance(value, str) and (package := value.rpartition(".")[0]) in EXCHANGED:
        node[key] = f"{package}.{data.draw(st.sampled_from(EXCHANGED[package]))}"
    elif isinstance(value, int | float):
        node[key] = data.draw(st.sampled_from(NUMBERS))


def numbers_and_classes(tree: Any) -> list[Place]:
    return [
        (node, key)
        for node, key in places(tree)
        if isinstance(node[key], int | float) or str(node[key]).rpartition(".")[0] in EXCHANGED
    ]


def spoilt(data: st.DataObject) -> Any:
    tree = copy.deepcopy(TREES[data.draw(st.sampled_from(NAMES))])
    if data.draw(st.booleans()):  # what is still well-formed comes further
        for _ in range(data.draw(st.integers(1, 2))):
            node, key = data.draw(st.sampled_from(numbers_and_classes(tree)))
            stretch(node, key, data)
        return tree
    for _ in range(data.draw(st.integers(1, 3))):
        spoil: Spoil = data.draw(st.sampled_from([drop, retype, rename, nest, add, swap]))
        if found := places(tree):
            node, key = found[data.draw(st.integers(0, len(found) - 1))]
            spoil(node, key, data)
    return tree


def outcome(path: Path, run_dir: Path) -> Outcome:
    """Fit in this process, and see how it ends."""

    def hung(signum: int, frame: object) -> None:
        raise Hung

    former = signal.signal(signal.SIGALRM, hung)
    err, started = io.StringIO(), time.perf_counter()
    signal.alarm(SECONDS)
    try:
        with contextlib.redirect_stderr(err), contextlib.redirect_stdout(io.StringIO()):
            end = str(main(["fit", str(path), "--run_dir", str(run_dir)]))
    except Stepped:
        end = "ran"
    except Hung:
        end = "hung"
    except BaseException as error:
        end = f"{type(error).__name__}: {error}"
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, former)
    seconds, told = time.perf_counter() - started, err.getvalue()
    left = run_dir.exists()
    shutil.rmtree(run_dir, ignore_errors=True)
    return Outcome(end, len(told.splitlines()), seconds, left, told, path.read_text()[:4000])


def figures(outcomes: list[Outcome]) -> str:
    told = [each for each in outcomes if each.end == "2"]
    lines, seconds = [each.lines for each in told], [each.seconds for each in told]
    tracebacks = sum(each.end not in ("2", "ran", "hung", "3") for each in outcomes)
    return (
        f"{len(outcomes)} recipes: {sum(each.end == 'ran' for each in outcomes)} ran, "
        f"{len(told)} ended with 2, {sum(each.end == '3' for each in outcomes)} with 3; lines "
        f"median {statistics.median(lines)}, max {max(lines)}; seconds median "
        f"{statistics.median(seconds):.2f}, max {max(seconds):.2f}; "
        f"{sum(each.left for each in told)} directories left, {tracebacks} tracebacks, "
        f"{sum(each.end == 'hung' for each in outcomes)} hung"
    )


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_a_spoilt_recipe_takes_its_first_step_or_ends_in_a_line(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stepped(*_: object) -> None:
        raise Stepped

    monkeypatch.setattr(RunRecord, "on_train_batch_end", stepped)
    outcomes: list[Outcome] = []

    @given(data=st.data())
    @settings(
        max_examples=RUNS,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    def each(data: st.DataObject) -> None:
        path = folder / "spoilt.yaml"
        text = yaml.safe_dump(spoilt(data), allow_unicode=True)
        path.write_bytes(text.encode(errors="surrogatepass"))
        outcomes.append(outcome(path, folder / "run"))
        found = outcomes[-1]
        if found.bad:
            with (folder / "bad.txt").open("a") as file:
                file.write(f"{found}\n")

    each()
    print(figures(outcomes))  # noqa: T201 - with -s
    assert [(each.end, each.told) for each in outcomes if each.bad] == []
