"""Proxies that need no training."""

import math
from pathlib import Path

import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file
from torch import nn

from distill.recipes import Recipe
from distill.runs.fit import fit
from distill.runs.session import Session
from distill.search import ZeroCost, zero_cost
from distill.search.runner import make_plan
from distill.search.zero_cost import synflow
from tests.fixtures.searches import write

SGD = {"class_path": "torch.optim.SGD", "init_args": {"lr": 1.0, "momentum": 0, "weight_decay": 0}}


def _recipe(folder: Path) -> Recipe:
    plan = make_plan(write(folder), folder / "out", [], 0)
    recipe = plan.with_design((1, 1, 1, 1, 3)).put("model.optimizer", SGD)
    return recipe.put("model.scheduler", None).put("data.train_samples", 50)


def test_the_gradient_norm_is_the_step_that_plain_descent_takes(tmp_path: Path) -> None:
    """With rate 1 the first step is the gradient, so the sum of the norms of what it changes."""
    recipe = _recipe(tmp_path)
    found = ZeroCost("gradient_norm").score(recipe, tmp_path)
    begun = dict(Session(recipe, tmp_path).model.student.named_parameters())
    fit(recipe, tmp_path / "run", console=Console(quiet=True))
    ended = load_file(tmp_path / "run" / "student.safetensors")
    wanted = sum(float((ended[name] - begun[name]).detach().norm()) for name in begun)
    assert found == pytest.approx(wanted, rel=1e-4)
    assert ZeroCost("gradient_norm").score(recipe, tmp_path) == found


def test_synflow_is_the_flow_through_each_layer() -> None:
    """Without biases each of three layers carries the whole flow."""
    layers = [nn.Linear(8, 5, bias=False), nn.Linear(5, 4, bias=False), nn.Linear(4, 3, bias=False)]
    network = nn.Sequential(nn.Flatten(), layers[0], nn.ReLU(), layers[1], nn.ReLU(), layers[2])
    before = {name: value.clone() for name, value in network.state_dict().items()}
    flow = torch.ones(8, dtype=torch.float64)
    for layer in layers:
        flow = layer.weight.detach().double().abs() @ flow
    assert synflow(network, (2, 2, 2)) == pytest.approx(3 * float(flow.sum()), rel=1e-9)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert network.training


def test_flops_are_those_of_the_table(tmp_path: Path) -> None:
    plan = make_plan(write(tmp_path), tmp_path / "out", [], 0)
    design = (1, 0, 1, 0, 3)
    found = ZeroCost("flops").score(plan.with_design(design), tmp_path)
    assert found == plan.costs(design)["flops"]


def test_what_is_not_finite_is_the_worst(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zero_cost, "synflow", lambda *_: math.nan)
    assert ZeroCost("synflow").score(_recipe(tmp_path), tmp_path) == -math.inf


def test_an_unknown_proxy_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^proxy must be one of gradient_norm, synflow, flops"):
        ZeroCost("luck")  # type: ignore[arg-type]
