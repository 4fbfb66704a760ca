"""A run with labelled and unlabelled images goes on bitwise, in the middle of an epoch."""

import copy
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from distill import runs
from tests.fixtures.recipes import RECIPE
from tests.fixtures.runs import assert_same, final_state, resume_from

STEPS = 6


def recipe(size: int | None, keep: Path | None = None) -> dict[str, Any]:
    tree = copy.deepcopy(RECIPE)
    crop = {"class_path": "distill.augment.RandomCrop", "init_args": {"padding": 1}}
    images = {"batch_size": 36 if size else 359, "augment": [crop]}
    own = {"images": {"class_path": "distill.data.Digits", "init_args": images}, "labels": 0.1}
    own |= {"unlabelled_batch_size": size}
    tree["data"] = {"class_path": "distill.data.PartlyLabelled", "init_args": own}
    tree["trainer"]["max_epochs"] = 2
    spec = {"class_path": "tests.fixtures.runs.EveryStep", "init_args": {"folder": str(keep)}}
    tree["trainer"]["callbacks"] = [spec] if keep else []
    return tree


@pytest.mark.parametrize("size", [20, None], ids=["paired", "together"])
def test_it_resumes_bitwise(tmp_path: Path, size: int | None) -> None:
    whole = tmp_path / "whole"
    quiet = Console(quiet=True)
    runs.fit(recipe(size, whole / "kept"), whole, trusted=("tests",), console=quiet)
    resume_from(STEPS - 2, whole / "kept", tmp_path / "again", recipe(size))
    assert_same(final_state(whole), final_state(tmp_path / "again"))
