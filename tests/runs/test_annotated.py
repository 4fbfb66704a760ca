"""Images of one's own through the toolkit: training, from a cache, resumed."""

import copy
from pathlib import Path
from typing import Any

import pytest

from distill import recipes, runs
from tests.fixtures.annotated import CLASSES, pictures, write_coco, write_masks
from tests.fixtures.runs import QUIET, EveryStep, assert_same, final_state, resume_from, train_rows

pytest.importorskip("faster_coco_eval", reason="needs the extra dense")


def recipe_of(kind: str, folder: Path, **options: Any) -> dict[str, Any]:
    """A recipe of scenes with a teacher that is not trained, on 9 training images of one's own."""
    given = [pictures(9, seed=1), pictures(4, seed=2)]
    write, arguments = {
        "coco": (write_coco, {"classes": list(CLASSES)}),
        "masks": (write_masks, {"classes": ["ground", *CLASSES]}),
    }[kind]
    sources = [str(write(folder / f"set{i}", one)) for i, one in enumerate(given)]
    tree = recipes.load(recipes.find(f"scenes/{'detect' if kind == 'coco' else 'segment'}_all"))
    model, data = tree["model"]["init_args"], tree["data"]["init_args"]
    network = model["student"]
    network["init_args"] |= {"num_classes": len(arguments["classes"]), "in_channels": 3}
    model["teacher"] = copy.deepcopy(network)
    arguments |= {"train": sources[0], "val": sources[1], "test": sources[1], "image_size": 48}
    arguments |= {"batch_size": 3, "augment": data["augment"]}
    tree["data"] = {"class_path": "distill.data.Annotated", "init_args": arguments}
    changes = {"trainer.max_epochs": 1, "trainer.check_val_every_n_epoch": 1}
    for key, value in (changes | options).items():
        recipes.put(tree, key, value)
    return tree


@pytest.mark.parametrize("kind", [pytest.param("coco", marks=pytest.mark.slow), "masks"])
def test_training_from_the_cache_is_live_training(kind: str, tmp_path: Path) -> None:
    cached = {"model.init_args.cache": str(tmp_path / "cache.sqlite")}
    live = runs.fit(recipe_of(kind, tmp_path), tmp_path / "live", console=QUIET)
    runs.fit(recipe_of(kind, tmp_path, **cached), tmp_path / "filled", console=QUIET)
    again = runs.fit(recipe_of(kind, tmp_path, **cached), tmp_path / "cached", console=QUIET)
    assert live["steps"] == 3
    assert again["cache"]["batches_computed"] == 0
    assert_same(final_state(tmp_path / "live"), final_state(tmp_path / "cached"))
    metric = live["metric"]
    tested = runs.evaluate(tmp_path / "cached", console=QUIET)
    assert tested[metric]["student"] == live["student"][metric]["test"]["last"]


@pytest.mark.parametrize("kind", ["coco", pytest.param("masks", marks=pytest.mark.slow)])
@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=pytest.mark.slow)])
@pytest.mark.parametrize("steps", [(2,), pytest.param((1, 2, 4, 5), marks=pytest.mark.slow)])
def test_a_run_resumes_to_the_same_bits(
    kind: str, workers: int, steps: tuple[int, ...], tmp_path: Path
) -> None:
    options = {"data.init_args.workers": workers, "trainer.log_every_n_steps": 1}
    options["trainer.max_epochs"] = 1 if steps == (2,) else 2
    tree = recipe_of(kind, tmp_path, **options)
    whole = copy.deepcopy(tree)
    keeper = {"class_path": f"tests.fixtures.runs.{EveryStep.__name__}"}
    keeper |= {"init_args": {"folder": str(tmp_path / "whole" / "kept")}}  # type: ignore[dict-item]
    recipes.put(whole, "trainer.callbacks", [keeper])
    runs.fit(whole, tmp_path / "whole", trusted=("tests",), console=QUIET)
    for step in steps:
        again = tmp_path / f"from_{step}"
        resume_from(step, tmp_path / "whole" / "kept", again, tree)
        assert_same(final_state(tmp_path / "whole"), final_state(again), f"from step {step}")
        assert train_rows(tmp_path / "whole") == train_rows(again)
