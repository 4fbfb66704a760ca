"""What a recipe's settings of the Trainer become."""

import copy
from pathlib import Path
from typing import Any

import pytest
from lightning_fabric.loggers import tensorboard
from lightning_utilities.core.imports import RequirementCache

from distill.core.errors import RecipeError
from distill.recipes import Recipe
from distill.recipes import build as build_module
from distill.recipes.build import build, with_folders
from distill.runs.session import trainer_kwargs
from tests.fixtures.recipes import RECIPE


def built_with(folder: Path, **trainer: Any) -> Any:
    tree = copy.deepcopy(RECIPE)
    tree["trainer"] |= trainer
    return build(tree, str(folder), ("tests",))


@pytest.mark.parametrize("listed", [False, True])
def test_a_logger_named_by_its_class_alone_writes_into_the_run(
    listed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    name = "pytorch_lightning.loggers.WandbLogger"
    logger = built_with(tmp_path, logger=[name] if listed else name).trainer["logger"]
    assert logger[0].save_dir == str(tmp_path)


@pytest.mark.parametrize("arguments", [None, {"name": "mine"}])
def test_any_logger_of_lightning_needs_no_folder(
    arguments: dict[str, str] | None, tmp_path: Path
) -> None:
    name = "pytorch_lightning.loggers.CSVLogger"
    spec = {"class_path": name, "init_args": arguments} if arguments else name
    (logger,) = built_with(tmp_path, logger=spec).trainer["logger"]
    assert logger.save_dir == str(tmp_path)


def test_each_logger_writes_where_it_takes_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    names = ("TensorBoardLogger", "MLFlowLogger", "CometLogger")
    loggers = [{"class_path": f"pytorch_lightning.loggers.{name}"} for name in names]
    recipe = Recipe({"trainer": {"logger": loggers}})
    told = [logger["init_args"] for logger in with_folders(recipe, "runs/a").loggers]
    mlflow = {"tracking_uri": "sqlite:///runs/a/mlflow.db", "artifact_location": "runs/a/mlruns"}
    assert told == [{"save_dir": "runs/a"}, mlflow, {}]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:5000")
    assert with_folders(recipe, "runs/a").loggers[1]["init_args"] == {}


def test_defaults_that_only_python_has_are_written_as_text(tmp_path: Path) -> None:
    timer = {
        "class_path": "pytorch_lightning.callbacks.Timer",
        "init_args": {"duration": "00:01:00:00"},
    }
    average = {
        "class_path": "pytorch_lightning.callbacks.StochasticWeightAveraging",
        "init_args": {"swa_lrs": 0.1},
    }
    config = built_with(tmp_path, callbacks=[timer, average]).config
    told = [callback["init_args"] for callback in config.get("trainer.callbacks")]
    assert told[0] == {"duration": "00:01:00:00", "interval": "step", "verbose": True}
    assert told[1]["device"] == "cpu"
    assert len(build(config, str(tmp_path), ("tests",)).trainer["callbacks"]) == 2


def test_a_logger_whose_package_is_missing_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for flag in ("_TENSORBOARD_AVAILABLE", "_TENSORBOARDX_AVAILABLE"):
        monkeypatch.setattr(tensorboard, flag, RequirementCache("a-package-that-nobody-has"))
    told = "needs a package that is not installed: pip install a-package-that-nobody-has"
    with pytest.raises(RecipeError) as caught:
        built_with(tmp_path, logger="pytorch_lightning.loggers.TensorBoardLogger")
    assert str(caught.value) == f"trainer.logger: {told}"


def test_the_recipe_has_the_last_word_but_on_the_folder_and_the_sampler(tmp_path: Path) -> None:
    settings = trainer_kwargs(built_with(tmp_path).trainer, tmp_path)
    assert (settings["num_sanity_val_steps"], settings["enable_model_summary"]) == (0, False)
    given = {"num_sanity_val_steps": 2, "enable_model_summary": True, "enable_progress_bar": True}
    forced = {"default_root_dir": "elsewhere", "use_distributed_sampler": True}
    settings = trainer_kwargs(built_with(tmp_path, **given, **forced).trainer, tmp_path)
    assert settings.items() >= given.items()
    assert (settings["default_root_dir"], settings["use_distributed_sampler"]) == (tmp_path, False)


COUNTS = ("limit_train_batches", "val_check_interval")


class FloatsFirst:
    """The parser as it is where another package has named ``float | int`` first."""

    def __init__(self, parser: Any) -> None:
        self._parser = parser

    def __getattr__(self, name: str) -> Any:
        return getattr(self._parser, name)

    def instantiate(self, config: Any) -> Any:
        for name in COUNTS:
            config.trainer[name] = float(config.trainer[name])
        return self._parser.instantiate(config)


@pytest.mark.parametrize("value", [1, 1.0])
def test_a_number_of_batches_does_not_become_a_share(
    value: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parser = build_module._parser()
    monkeypatch.setattr(build_module, "_parser", lambda: FloatsFirst(parser))
    built = built_with(tmp_path, limit_train_batches=value, val_check_interval=value)
    for name in COUNTS:
        assert type(built.trainer[name]) is type(value)
        assert type(built.config.tree["trainer"][name]) is type(value)
