from typing import Any

import pytest
from torch import nn

from distill.core.errors import RecipeError
from distill.core.walk import Node
from distill.recipes.settings import check_settings, check_terms, check_workers


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"gradient_clip_val": -1}, "gradient_clip_val: must be at least 0, got -1"),
        ({"limit_train_batches": 0}, "limit_train_batches: must be above 0, got 0"),
        ({"limit_train_batches": 0.0}, "limit_train_batches: must be above 0"),
        ({"limit_train_batches": 1.5}, "limit_train_batches: must be a whole number, or a share"),
        ({"limit_val_batches": -1}, "limit_val_batches: must be at least 0"),
        ({"val_check_interval": 0}, "val_check_interval: must be above 0"),
        ({"overfit_batches": -0.5}, "overfit_batches: must be at least 0"),
        ({"overfit_batches": 2}, "overfit_batches: is not taken: .* set data.train_samples"),
        ({"overfit_batches": 0.5}, "overfit_batches: is not taken"),
        ({"max_epochs": 0}, "max_epochs: must be at least 1, got 0"),
        ({"max_epochs": None}, "max_epochs: needs a number of at least 1, .* got None"),
        ({"max_epochs": -1}, "max_epochs: needs a number of at least 1, .* got -1"),
        ({"max_epochs": -5}, "max_epochs: must be at least -1, got -5"),
        ({"max_steps": 0, "max_epochs": 3}, "max_steps: must be at least 1, got 0"),
        ({"max_epochs": None, "max_steps": -1}, "max_epochs: needs a number"),
        ({"log_every_n_steps": 0}, "log_every_n_steps: must be at least 1, got 0"),
        ({"log_every_n_steps": -3}, "log_every_n_steps: must be at least 1"),
        ({"min_epochs": 4, "max_epochs": 3}, "min_epochs: must be at most max_epochs = 3, got 4"),
        ({"min_steps": 4, "max_steps": 3}, "min_steps: must be at most max_steps = 3, got 4"),
        ({"accumulate_grad_batches": 0}, "accumulate_grad_batches: must be at least 1"),
        ({"check_val_every_n_epoch": 0}, "check_val_every_n_epoch: must be at least 1"),
        ({"num_sanity_val_steps": -2}, "num_sanity_val_steps: must be at least -1"),
        ({"num_nodes": 0}, "num_nodes: must be at least 1"),
        ({"fast_dev_run": True}, "fast_dev_run: leaves no run behind"),
        ({"fast_dev_run": 2}, "fast_dev_run: leaves no run behind"),
    ],
)
def test_settings_that_train_nothing_or_never_end_are_refused(
    settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(RecipeError, match=rf"^trainer\.{message}"):
        check_settings(settings)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"max_epochs": 1, "min_epochs": 1},
        {"max_epochs": None, "max_steps": 5},
        {"max_epochs": -1, "max_steps": 5},
        {"max_epochs": None, "max_time": "00:01:00:00"},
        {"fast_dev_run": False, "limit_train_batches": 1, "val_check_interval": 0.5},
        {"limit_train_batches": 1.0, "gradient_clip_val": 0, "limit_val_batches": 0},
        {"max_epochs": 3, "min_epochs": None, "log_every_n_steps": None},
        {"max_epochs": -1, "min_epochs": 5, "max_steps": 100},
    ],
)
def test_other_settings_pass(settings: dict[str, Any]) -> None:
    check_settings(settings)


def test_there_must_be_something_to_train_on() -> None:
    term = {"loss": "torch.nn.MSELoss"}
    with pytest.raises(RecipeError, match=r"^model\.losses: needs at least one term"):
        check_terms({"losses": {}})
    with pytest.raises(RecipeError, match=r"^model\.losses: needs a term whose weight is above 0"):
        check_terms({"losses": {"a": term | {"weight": 0}, "b": term | {"weight": 0.0}}})
    check_terms({"losses": {"a": term | {"weight": 0}, "b": term}})
    check_terms({"losses": {"each": {"a": term | {"weight": 0}}}})
    check_terms({})


def test_more_workers_than_any_machine_takes_are_refused() -> None:
    nodes = [Node("data", nn.Identity, {}), Node("data.images", nn.Identity, {"workers": 100_000})]
    with pytest.raises(RecipeError, match=r"^data\.images\.workers: must be at most 256"):
        check_workers(nodes)
    check_workers([Node("data", nn.Identity, {"workers": 256})])
