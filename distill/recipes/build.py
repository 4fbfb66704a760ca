"""From a recipe's tree to objects: checked, parsed by LightningCLI's parser, instantiated."""

import os
import random
import re
import warnings
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from enum import Enum
from functools import cache
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from jsonargparse import Namespace
from pytorch_lightning.cli import LightningArgumentParser

from distill.core.echo import short
from distill.core.errors import RecipeError
from distill.core.trust import trusting
from distill.recipes.check import Node, blame, check
from distill.recipes.defaults import leave_out_objects
from distill.recipes.files import Tree, parse
from distill.recipes.recipe import PRECISION, Recipe
from distill.recipes.settings import MEASURED, named_precision, whole_numbers

_OF_TORCH = (torch.device, torch.dtype)


@dataclass
class Built:
    """What a recipe builds.

    Attributes:
        model: The LightningModule.
        data: The LightningDataModule.
        trainer: Arguments of the Trainer.
        config: The whole recipe, resolved, defaults filled in.
        nodes: The places where objects are built.
    """

    model: pl.LightningModule
    data: pl.LightningDataModule
    trainer: dict[str, Any]
    config: Recipe
    nodes: list[Node] = field(default_factory=list)


def build(recipe: Recipe | Tree, run_dir: str, trusted: Sequence[str] = ()) -> Built:
    """Build the objects that a recipe names; nothing else happens, on disk or on the network.

    Weights are drawn from the recipe's seed: it sets the global generators of Python, numpy and
    torch.

    Args:
        recipe: The recipe.
        run_dir: Where loggers write.
        trusted: Further packages whose classes the recipe may name.

    Raises:
        RecipeError: With the dotted key of whatever is wrong.
    """
    given = with_folders(Recipe.of(recipe), run_dir)
    tree = given.tree
    nodes = check(tree, trusted)
    if given.measures:
        tree = {**tree, "trainer": named_precision(tree["trainer"])}
    parser = _parser()
    try:
        config = parser.parse_object(deepcopy(tree))
    except Exception as error:
        raise _short(error) from error
    _seed_generators(config.seed_everything)
    try:
        with trusting(trusted):
            built = parser.instantiate(config)
    except Exception as error:
        cause = _first_cause(error)
        raise RecipeError(*_told(nodes, error, cause)) from error
    leave_out_objects(config, tree)
    plain = Recipe(_plain(parser, config))
    if given.measures:
        plain = plain.put(PRECISION, MEASURED)
    counts = whole_numbers(tree.get("trainer", {}))
    for name, value in counts.items():
        plain = plain.put(f"trainer.{name}", value)
    return Built(built.model, built.data, vars(built.trainer) | counts, plain, nodes)


def _told(nodes: list[Node], error: BaseException, cause: BaseException) -> tuple[str, str]:
    """The key and what to say of it, in one line; of a package that is missing, what to install."""
    key = blame(nodes, cause)
    if missing := re.findall(r"Requirement '([\w.-]+)[^']*' not met", str(error)):
        # Of the parser's two ways to read loggers, one or a list, the error tells the wrong one.
        key = "trainer.logger" if key == "recipe" else key
        return key, f"needs a package that is not installed: pip install {missing[-1]}"
    return key, " ".join(str(cause).split())


def _seed_generators(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - for networks that draw from it
    torch.manual_seed(seed)


@cache
def _parser() -> LightningArgumentParser:
    """The parser; it keeps nothing of what it has read, so that one serves the whole process."""
    parser = LightningArgumentParser(exit_on_error=False)
    parser.add_argument("--seed_everything", type=int, default=0)
    parser.add_lightning_class_args(pl.LightningModule, "model", subclass_mode=True)
    parser.add_lightning_class_args(pl.LightningDataModule, "data", subclass_mode=True)
    parser.add_lightning_class_args(pl.Trainer, "trainer")
    _read_no_files(parser)
    return parser


def _read_no_files(parser: LightningArgumentParser) -> None:
    """A text never stands for a file that the parser would read."""
    for action in parser._actions:
        if hasattr(action, "_enable_path"):
            action._enable_path = False
        if hasattr(action, "sub_add_kwargs"):
            action.sub_add_kwargs["sub_configs"] = False


def _plain(parser: LightningArgumentParser, config: Namespace) -> Tree:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # It was checked when it was parsed.
        return parse(parser.dump(_spelled(config), skip_none=False, skip_check=True))


def _spelled(value: Any) -> Any:  # noqa: ANN401 - any value of a recipe
    """The value, with what only Python has, such as defaults of Lightning's, as plain text."""
    if isinstance(value, Namespace):
        return Namespace({key: _spelled(inner) for key, inner in vars(value).items()})  # type: ignore[no-untyped-call]
    if isinstance(value, dict):
        return {key: _spelled(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_spelled(inner) for inner in value]
    if isinstance(value, Enum):
        return value.value
    return str(value).removeprefix("torch.") if isinstance(value, _OF_TORCH) else value


def with_folders(recipe: Recipe, run_dir: str) -> Recipe:
    """Loggers that do not say where write into the run's directory."""
    loggers = [
        {**logger, "init_args": _folder(logger, run_dir) | logger["init_args"]}
        for logger in recipe.loggers
    ]
    return recipe.with_loggers(loggers)


def _folder(logger: Tree, run_dir: str) -> Tree:
    """The argument that says where a logger writes."""
    name = str(logger.get("class_path")).rpartition(".")[-1]
    if name == "CometLogger":
        return {}
    if name != "MLFlowLogger":
        return {"save_dir": run_dir}
    if "tracking_uri" in logger["init_args"] or os.environ.get("MLFLOW_TRACKING_URI"):
        return {}
    # MLflow 3 refuses folders.
    files = {"artifact_location": f"{run_dir}/mlruns"}
    return {"tracking_uri": f"sqlite:///{run_dir}/mlflow.db"} | files


def _first_cause(error: BaseException) -> BaseException:
    """What a constructor raised, inside the messages that the parser wraps it in."""
    while _by_parser(error) and (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    return error


def _by_parser(error: BaseException) -> bool:
    traceback, module = error.__traceback__, ""
    while traceback is not None:
        module = str(traceback.tb_frame.f_globals.get("__name__"))
        traceback = traceback.tb_next
    return module.startswith("jsonargparse")


def _short(error: BaseException) -> RecipeError:
    """The parser's nested message in one line: the keys joined, and what was expected."""
    text = str(error)
    keys = re.findall(r'Parser key "([^"]+)"', text)
    lines = [line.strip(" -") for line in text.splitlines()]
    tells = [line for line in lines if line.startswith(("Expected", "Problem", "Not a valid"))]
    told = [line for line in tells if "given class_path" not in line and "NoneType" not in line]
    message = (told or tells or lines)[0]
    return RecipeError(".".join(dict.fromkeys(keys)) or "recipe", short(message, 200))
