"""Tells of a term that outweighs what labels say, while it is cheap to stop."""

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

import pytorch_lightning as pl
from rich.console import Console

from distill.wiring.keys import split_key
from distill.wiring.term import PlacedTerm

_STEPS, _MOST = 20, 10.0


class _Terms(Protocol):
    terms: Mapping[str, PlacedTerm]


@runtime_checkable
class _HasTerms(Protocol):
    objective: _Terms


class TermBalance(pl.Callback):
    """Compares terms in the first 20 steps of a run, by what is logged of them.

    A line is printed for each weighted term above ten times the sum of those that compare a network
    with labels alone. A run that is resumed is not compared again.

    Args:
        console: Where to print.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._sums: dict[str, float] = {}
        self._left = 0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Begin, if the run does."""
        compared = isinstance(pl_module, _HasTerms) and trainer.global_step == 0
        self._sums, self._left = {}, _STEPS * compared

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: object
    ) -> None:
        """Add the terms of a step; after the last one print what is out of balance."""
        if not self._left or not isinstance(pl_module, _HasTerms):
            return
        terms, logged = pl_module.objective.terms, trainer.callback_metrics
        for name, placed in terms.items():
            value = logged.get(f"train/loss/{name}")
            if value is not None:
                weighted = placed.term.weight * abs(float(value))
                self._sums[name] = self._sums.get(name, 0.0) + weighted
        self._left -= 1
        if not self._left:
            for name, ratio in out_of_balance(terms, self._sums).items():
                told = f"was {ratio:.0f} times the terms of labels in the first {_STEPS} steps"
                line = f"note     {terms[name].where} {told}: is its weight too high?"
                self._console.print(line, highlight=False, soft_wrap=True)


def out_of_balance(terms: Mapping[str, PlacedTerm], sums: Mapping[str, float]) -> dict[str, float]:
    """How many times the terms of labels each other one is, of those above ten times.

    Args:
        terms: By name.
        sums: Their weighted values, summed over steps.
    """
    task = sum(value for name, value in sums.items() if _is_of_labels(terms[name]))
    if task <= 0:
        return {}
    others = {name: value / task for name, value in sums.items() if not _is_of_labels(terms[name])}
    return {name: ratio for name, ratio in others.items() if ratio > _MOST}


def _is_of_labels(placed: PlacedTerm) -> bool:
    """Whether a term compares one network with what the batch says."""
    keys = [split_key(key) for key in placed.term.sources()]
    said = {"batch", "assigned"}
    labels = [key for key in keys if key.head in said and key.rest != "index"]
    return bool(labels) and len({key.head for key in keys} - said) == 1
