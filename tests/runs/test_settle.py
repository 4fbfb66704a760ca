"""``trainer.precision: auto`` in runs: decided once, written down, told, and nothing else."""

import shutil
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console
from torch import nn

from distill import runs
from distill.core.errors import RecipeError
from distill.recipes import Recipe, put, read
from distill.recipes.check import check
from distill.recipes.stages import stages
from distill.runs import settle as settling
from distill.runs.directory import write_config
from distill.runs.session import Session, quiet_lightning
from distill.runs.settle import LAYOUT, settle
from distill.runs.speed_trial import Way
from distill.runs.staged_check import validate_stages
from tests.fixtures.known_times import known
from tests.fixtures.runs import QUIET, assert_same, final_state
from tests.fixtures.small_recipe import RECIPE as TEXT

TRUSTED = ("tests", "students")


class Noisy(nn.Module):
    """A student that draws random numbers and keeps statistics."""

    def __init__(self) -> None:
        super().__init__()
        layers = [nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.Dropout(0.5), nn.Flatten()]
        self.body = nn.Sequential(*layers, nn.LazyLinear(10))
        self.body(torch.zeros(2, 1, 8, 8))
        self.body[1].reset_running_stats()

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.body(image)
        return logits


def recipe(folder: Path, **changes: Any) -> dict[str, Any]:
    path = folder / "recipe.yaml"
    path.write_text(TEXT)
    tree = Recipe.of(path).tree
    path.unlink()
    put(tree, "trainer.precision", "auto")
    for key, value in changes.items():
        put(tree, key.replace("__", "."), value)
    return tree


@pytest.fixture
def stages_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stages are built, not rehearsed."""
    monkeypatch.setattr("distill.runs.staged_check.rehearse", lambda session: None)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[list[Way]]:
    return known(monkeypatch)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Path, list[str]]:
    """A recipe that asks for a trial, its run, and what that printed."""
    folder, text = tmp_path_factory.mktemp("settle"), StringIO()
    tree = recipe(folder, model__student=f"{__name__}.Noisy")
    with pytest.MonkeyPatch.context() as patch:
        known(patch)
        runs.fit(tree, folder / "run", trusted=TRUSTED, console=Console(file=text))
    return tree, folder / "run", text.getvalue().splitlines()


def opened(tree: dict[str, Any]) -> Session:
    with quiet_lightning():
        session = Session(tree, Path("nowhere"), TRUSTED)
        session.set_up_data()
    return session


def test_a_run_takes_the_fastest_writes_it_down_and_tells(
    finished: tuple[dict[str, Any], Path, list[str]],
) -> None:
    _, run, lines = finished
    written = Recipe(read(run / "config.yaml"))
    assert (written.get("trainer.precision"), written.get(LAYOUT)) == ("bf16-mixed", True)
    chosen = "trial    bf16-mixed channels-last: 1.0 ms a step of 16 images"
    others = "bf16-mixed contiguous 2.0, 32-true channels-last 3.0, 32-true contiguous 4.0"
    assert lines[0] == f"{chosen}, {others}"
    assert "device   cpu, bf16-mixed" in lines


@pytest.mark.slow
def test_a_run_is_bitwise_the_one_that_names_what_was_chosen(
    finished: tuple[dict[str, Any], Path, list[str]], tmp_path: Path
) -> None:
    tree, run, _ = finished
    named = Recipe(tree).put("trainer.precision", "bf16-mixed").put(LAYOUT, True)
    runs.fit(named, tmp_path / "named", trusted=TRUSTED, console=QUIET)
    assert_same(final_state(run), final_state(tmp_path / "named"))
    configs = [(folder / "config.yaml").read_text() for folder in (run, tmp_path / "named")]
    assert configs[0] == configs[1]


def test_a_real_trial_leaves_weights_statistics_and_random_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settling, "cpu_has_bf16", lambda: True)
    session = opened(recipe(tmp_path, model__student=f"{__name__}.Noisy"))
    before = {key: value.clone() for key, value in session.model.student.state_dict().items()}
    random = torch.get_rng_state()
    changes = settle(session)
    assert set(changes) == {"trainer.precision", LAYOUT}
    assert torch.equal(torch.get_rng_state(), random)
    assert_same(dict(session.model.student.state_dict()), before)
    assert all(weight.grad is None for weight in session.model.student.parameters())
    assert session.model.student.training


def test_a_layout_that_is_given_stays(tmp_path: Path, clock: list[list[Way]]) -> None:
    session = opened(recipe(tmp_path, model__channels_last=False))
    assert settle(session) == {"trainer.precision": "bf16-mixed"}
    assert clock == [[Way("32-true", False), Way("bf16-mixed", False)]]
    assert session.config.get("model.channels_last", "kept") is False


def test_a_cpu_without_bf16_units_compares_layouts_alone(
    tmp_path: Path, clock: list[list[Way]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settling, "cpu_has_bf16", lambda: False)
    assert settle(opened(recipe(tmp_path))) == {"trainer.precision": "32-true", LAYOUT: True}
    told = StringIO()
    session = opened(recipe(tmp_path, model__channels_last=True))
    assert settle(session, Console(file=told)) == {"trainer.precision": "32-true"}
    assert told.getvalue() == "trial    32-true channels-last: this CPU has no bf16 units\n"
    assert len(clock) == 1


def test_a_named_precision_asks_nothing(tmp_path: Path, clock: list[list[Way]]) -> None:
    session = opened(recipe(tmp_path, trainer__precision="32-true"))
    assert (settle(session), clock) == ({}, [])
    assert session.config.get(LAYOUT) is None


def test_a_student_that_fails_is_told_by_its_run(tmp_path: Path) -> None:
    told = StringIO()
    session = opened(recipe(tmp_path, model__student="torch.nn.CrossEntropyLoss"))
    assert settle(session, Console(file=told)) == {"trainer.precision": "32-true", LAYOUT: False}
    assert told.getvalue() == "trial    32-true: the student could not be tried\n"


@pytest.mark.slow
def test_a_run_goes_on_with_what_it_settled_on(
    finished: tuple[dict[str, Any], Path, list[str]], tmp_path: Path, clock: list[list[Way]]
) -> None:
    tree, run, _ = finished
    shutil.copytree(run, tmp_path / "run")
    runs.fit(tree, tmp_path / "run", trusted=TRUSTED, console=QUIET, resume=True)
    assert clock == []
    before, after = (Recipe(read(each / "config.yaml")) for each in (run, tmp_path / "run"))
    assert before == after


def test_a_process_that_the_first_one_started_does_as_that_wrote(
    finished: tuple[dict[str, Any], Path, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    tree, run, _ = finished
    assert not settling.launched()
    monkeypatch.setattr(settling, "first_process", lambda: False)
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert settling.launched()
    begun = settling.as_begun(Recipe(tree), run)
    assert (begun.get("trainer.precision"), begun.get(LAYOUT)) == ("bf16-mixed", True)


@pytest.mark.slow
@pytest.mark.usefixtures("stages_only")
def test_the_first_stage_that_asks_decides_for_all(tmp_path: Path, clock: list[list[Way]]) -> None:
    tree = recipe(tmp_path, stages={"a": {}, "b": {"trainer.precision": "32-true"}, "c": {}})
    found = validate_stages(Recipe(tree), tmp_path / "run", TRUSTED, QUIET)
    used = {name: own.get("trainer.precision") for name, own in stages(found).items()}
    assert used == {"a": "bf16-mixed", "b": "32-true", "c": "bf16-mixed"}
    assert {own.get(LAYOUT) for own in stages(found).values()} == {True}
    assert len(clock) == 1
    write_config(tmp_path, found, "")
    assert settling.as_begun(Recipe(tree), tmp_path) == found


@pytest.mark.slow
@pytest.mark.usefixtures("stages_only", "clock")
def test_a_stage_may_ask_alone(tmp_path: Path) -> None:
    named = {"a": {}, "b": {"trainer.precision": "auto"}}
    tree = recipe(tmp_path, stages=named, trainer__precision="32-true")
    found = validate_stages(Recipe(tree), tmp_path / "run", TRUSTED, QUIET)
    assert found.get("trainer.precision") == "32-true"
    assert found.get(LAYOUT) is None
    assert found.tree["stages"]["b"] == {"trainer.precision": "bf16-mixed", LAYOUT: True}
    write_config(tmp_path, found, "")
    assert settling.as_begun(Recipe(tree), tmp_path) == found


@pytest.mark.usefixtures("clock")
def test_machines_started_by_hand_must_be_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    session = opened(recipe(tmp_path, trainer__num_nodes=2, trainer__strategy="ddp"))
    told = r"^trainer.precision: is measured by a run of one machine, or under torchrun: name one"
    with pytest.raises(RecipeError, match=told):
        settle(session)


def test_no_other_word_is_a_precision(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"^trainer.precision: "):
        check(recipe(tmp_path, trainer__precision="automatic"), TRUSTED)
