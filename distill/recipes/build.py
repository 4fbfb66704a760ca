"""From a recipe's tree to objects: checked, parsed by LightningCLI's parser, instantiated."""

import re
import warnings
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import pytorch_lightning as pl
from jsonargparse import ArgumentError, Namespace
from pytorch_lightning.cli import LightningArgumentParser

from distill.core.errors import RecipeError
from distill.core.trust import trusting
from distill.recipes import Tree, parse
from distill.recipes.check import blame, check


@dataclass
class Built:
    """What a recipe builds.

    Attributes:
        model: The LightningModule.
        data: The LightningDataModule.
        trainer: Arguments of the Trainer.
        config: The whole recipe, resolved, defaults filled in, as plain values.
    """

    model: Any  # a LightningModule such as Distillation, of any class that a recipe may name
    data: Any  # a LightningDataModule such as those of distill.data
    trainer: dict[str, Any]
    config: Tree


def build(tree: Tree, run_dir: str, trusted: Sequence[str] = ()) -> Built:
    """Build the objects that a recipe names.

    Args:
        tree: What ``recipes.load`` returned.
        run_dir: Where loggers write.
        trusted: Further packages whose classes the recipe may name.

    Raises:
        RecipeError: With the dotted key of whatever is wrong.
    """
    nodes = check(tree, trusted)
    tree = deepcopy(tree)
    _keep_loggers_inside(tree, run_dir)
    parser = _parser()
    try:
        config = parser.parse_object(tree)
    except (ArgumentError, ValueError, TypeError) as error:
        raise _short(error) from error
    pl.seed_everything(config.seed_everything, verbose=False)
    try:
        with trusting(trusted):
            built = parser.instantiate(config)
    except (ValueError, TypeError, RuntimeError, LookupError, OSError, ImportError) as error:
        cause = _first_cause(error)
        raise RecipeError(blame(nodes, cause), " ".join(str(cause).split())) from error
    plain = _plain(parser, config)
    return Built(built.model, built.data, dict(vars(built.trainer)), plain)


def _parser() -> LightningArgumentParser:
    parser = LightningArgumentParser(exit_on_error=False)
    parser.add_argument("--seed_everything", type=int, default=0)
    parser.add_lightning_class_args(pl.LightningModule, "model", subclass_mode=True)
    parser.add_lightning_class_args(pl.LightningDataModule, "data", subclass_mode=True)
    parser.add_lightning_class_args(pl.Trainer, "trainer")
    return parser


def _plain(parser: LightningArgumentParser, config: Namespace) -> Tree:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # It was checked when it was parsed.
        return parse(parser.dump(config, skip_none=False, skip_check=True))


def _keep_loggers_inside(tree: Tree, run_dir: str) -> None:
    tree["trainer"] = trainer = tree.get("trainer") or {}
    given = trainer.get("logger")
    loggers: list[Any] = [
        {"class_path": spec} if isinstance(spec, str) else spec
        for spec in (given if isinstance(given, list) else [given])
    ]
    if given is not None:
        trainer["logger"] = loggers if isinstance(given, list) else loggers[0]
    for spec in loggers:
        if isinstance(spec, dict) and "class_path" in spec:
            arguments = spec.setdefault("init_args", {})
            arguments.setdefault("save_dir", run_dir)


def _first_cause(error: BaseException) -> BaseException:
    """The parser wraps what a constructor raised in messages of its own."""
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    return error


def _short(error: BaseException) -> RecipeError:
    """The parser's nested message in one line: the keys joined, and what was expected."""
    text = str(error)
    keys = re.findall(r'Parser key "([^"]+)"', text)
    lines = [line.strip(" -") for line in text.splitlines()]
    tells = [line for line in lines if line.startswith(("Expected", "Problem", "Not a valid"))]
    told = [line for line in tells if "given class_path" not in line and "NoneType" not in line]
    message = (told or tells or lines)[0]
    return RecipeError(".".join(dict.fromkeys(keys)) or "recipe", message[:200])
