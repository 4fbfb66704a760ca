"""Every block of docs/training.md can be pasted into a recipe and trains."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from rich.console import Console

from distill import recipes, runs

PAGE = (Path(__file__).parents[1] / "docs" / "training.md").read_text()
BLOCKS = [yaml.safe_load(text) for text in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)]


def keys(block: dict[str, Any]) -> str:
    found = [f"{section}.{key}" for section, values in block.items() for key in values]
    scheduler = block.get("model", {}).get("scheduler", {}).get("class_path", "")
    return "-".join([*found, scheduler.split(".")[-1]]).rstrip("-")


@pytest.mark.parametrize("block", BLOCKS, ids=keys)
def test_a_block_of_the_page_trains(block: dict[str, Any], tmp_path: Path) -> None:
    tree = recipes.load(recipes.find("digits/student"))
    for section, values in block.items():
        for key, value in values.items():
            recipes.put(tree, f"{section}.{key}", value)
    recipes.put(tree, "data.train_samples", 200)
    recipes.put(tree, "trainer.max_epochs", 2)
    recipes.put(tree, "trainer.check_val_every_n_epoch", 1)
    result = runs.fit(tree, tmp_path / "run", console=Console(quiet=True))
    assert result["epochs"] == 2


def test_the_page_shows_every_schedule() -> None:
    shown = {
        block["model"]["scheduler"]["class_path"] for block in BLOCKS if "scheduler" in str(block)
    }
    names = {path.split(".")[-1] for path in shown}
    assert names == {
        "MultiStepLR",
        "CosineAnnealingLR",
        "Warmup",
        "OneCycleLR",
        "CyclicLR",
        "PolynomialLR",
        "ReduceLROnPlateau",
    }
