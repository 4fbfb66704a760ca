import copy
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from distill.core.errors import RecipeError
from distill.losses import HintLoss
from distill.modules import DifferentiableSearch, Normalization, Term
from distill.modules.differentiable import for_weights
from distill.modules.supernet import expected_cost
from students import MixedCells
from tests.fixtures.modules import CE, KD, digits, tensors, trainer
from tests.fixtures.networks import tiny
from tests.fixtures.runs import assert_resumes, assert_same, final_state

OPS = ["none", "skip", "sep3", "conv3"]

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*does not have many workers.*", "ignore:.*LeafSpec.*"
)


def supernet() -> MixedCells:
    torch.manual_seed(0)
    return MixedCells(10, 1, cells=2, width=4, nodes=1, reduce_at=[1], ops=OPS)


def sgd(parameters: Any) -> torch.optim.Optimizer:
    return torch.optim.SGD(parameters, lr=0.1)


def fast(parameters: Any) -> torch.optim.Optimizer:
    return torch.optim.SGD(parameters, lr=5.0)


def search(**changes: Any) -> DifferentiableSearch:
    given = {"teacher": None, "student": supernet(), "losses": {"ce": CE}, "optimizer": sgd}
    return DifferentiableSearch(**(given | {"architecture_optimizer": fast} | changes))


def fitted(module: DifferentiableSearch, steps: int = 1, **options: Any) -> pl.Trainer:
    running = trainer(limit_train_batches=steps, limit_val_batches=0, **options)
    running.fit(module, digits())
    return running


def first_halves(data: Any) -> dict[str, tuple[Tensor, Tensor]]:
    """Images and labels of both halves of the first batch, in float64."""
    data.setup("fit")
    batch = next(iter(data.pipeline.train_loader(None)))
    image = Normalization(data.mean, data.std)(batch.image).double()
    first = for_weights(batch, 0)
    halves = {"weights": first, "architecture": ~first}
    return {name: (image[rows], batch.target[rows]) for name, rows in halves.items()}


def after_one_step(order: int) -> tuple[dict[str, Tensor], dict[str, Tensor], dict[str, Tensor]]:
    """A supernet before and after a step of the module, and after one by autograd alone.

    Smooth, since differences over the corners of ReLU are no derivatives.
    """
    start = supernet().double()
    for part in start.modules():
        for name, child in part.named_children():
            if isinstance(child, nn.ReLU):
                setattr(part, name, nn.Tanh())
    for alphas in start.alphas.values():
        with torch.no_grad():
            alphas += torch.randn(alphas.shape, generator=torch.Generator().manual_seed(1))
    halves = first_halves(digits())
    names = [name for name, _ in start.named_parameters() if not name.startswith("alphas")]
    given = {name: one.detach().clone() for name, one in start.state_dict().items()}
    before = copy.deepcopy(given)

    def loss(state: dict[str, Tensor], half: str) -> Tensor:
        image, target = halves[half]
        plain = {name: one.clone() if "running" in name else one for name, one in state.items()}
        return F.cross_entropy(functional_call(start, plain, (image,)), target)

    alphas = {name: given[name].requires_grad_() for name in given if name.startswith("alphas")}
    moved = dict(given)
    if order == 2:
        own = {name: given[name].requires_grad_() for name in names}
        found = torch.autograd.grad(loss(given, "weights"), list(own.values()), create_graph=True)
        moved |= {name: own[name] - 0.1 * g for name, g in zip(own, found, strict=True)}
    found = torch.autograd.grad(loss(moved, "architecture"), list(alphas.values()))
    after = dict(given) | {
        name: (alphas[name] - 5.0 * g).detach() for name, g in zip(alphas, found, strict=True)
    }
    own = {name: given[name].requires_grad_() for name in names}
    found = torch.autograd.grad(loss(after, "weights"), list(own.values()))
    after |= {name: (own[name] - 0.1 * g).detach() for name, g in zip(own, found, strict=True)}
    module = search(student=copy.deepcopy(start), order=order)
    fitted(module)
    return before, tensors(module.student), after


def moves(before: dict[str, Tensor], after: dict[str, Tensor], prefix: str = "alphas") -> Tensor:
    names = [name for name in before if name.startswith(prefix)]
    return torch.cat([(after[name] - before[name]).detach().flatten() for name in names])


@pytest.mark.parametrize("order", [1, 2])
def test_a_step_is_that_of_autograd_on_both_halves(order: int) -> None:
    before, ours, wanted = after_one_step(order)
    moved = moves(before, wanted)
    assert (moves(before, ours) - moved).norm() < 5e-4 * moved.norm()
    for prefix in ("fc", "cells", "stem"):
        names = [n for n in ours if n.startswith(prefix) and not n.endswith(("tracked", "var"))]
        for name in (name for name in names if "running" not in name):
            torch.testing.assert_close(ours[name], wanted[name], rtol=1e-3, atol=1e-6)


def test_the_orders_differ() -> None:
    (before, one, _), (_, two, _) = after_one_step(1), after_one_step(2)
    moved = moves(before, one)
    assert (moves(before, two) - moved).norm() > 1e-2 * moved.norm()


def test_halves_follow_from_the_numbers_of_images() -> None:
    data = digits()
    data.setup("fit")
    batches = list(data.pipeline.train_loader(None))
    for batch in batches:
        later = replace(batch, index=batch.index.flip(0), epoch=5, step=40)
        assert torch.equal(for_weights(later, 3), for_weights(batch, 3).flip(0))
    first = torch.cat([for_weights(batch, 3) for batch in batches])
    assert len(first) == 64
    assert 20 < first.sum() < 44
    assert not torch.equal(first, torch.cat([for_weights(batch, 4) for batch in batches]))


def test_alphas_are_in_no_group_of_the_weights() -> None:
    """Under a decay that would move them they stay, bit by bit; parts of losses are weights."""

    def still(parameters: Any) -> torch.optim.Optimizer:
        return torch.optim.SGD(parameters, lr=0.0)

    def decayed(parameters: Any) -> torch.optim.Optimizer:
        return torch.optim.SGD(parameters, lr=0.1, weight_decay=5.0)

    keys = {"student": "student@stem.1:input", "teacher": "teacher@conv"}
    hint = Term(HintLoss(4, 8), inputs=keys)
    teacher = tiny(8)
    teacher.conv.stride = (1, 1)  # type: ignore[union-attr]
    module = search(
        teacher=teacher,
        losses={"ce": CE, "kd": KD, "hint": hint},
        optimizer=decayed,
        architecture_optimizer=still,
    )
    before = tensors(module)
    running = fitted(module)
    after = tensors(module)
    for name in before:
        same = torch.equal(before[name], after[name])
        if name.startswith("student.alphas"):
            assert same, name
        elif name.endswith("weight"):
            assert not same, name
    groups = running.optimizers[0].param_groups
    assert sum(len(group["params"]) for group in groups) == sum(
        name.endswith(("weight", "bias")) for name, _ in module.named_parameters()
    )


def test_a_limit_makes_designs_cheaper_and_none_leaves_them_as_they_are() -> None:
    costs = supernet().costs((1, 8, 8))
    start = expected_cost(supernet(), costs, "flops").item()
    found = {}
    for weight in (0.0, 50.0):
        module = search(limits={"flops": 0.7 * start}, cost_weight=weight)
        running = fitted(module, 3)
        found[weight] = expected_cost(module.supernet, costs, "flops").item()
        assert "train/cost/flops" in running.callback_metrics
    assert found[50.0] < 0.9 * found[0.0]
    met = search(limits={"flops": 2 * start}, cost_weight=50.0)
    fitted(met, 3)
    free = search()
    fitted(free, 3)
    assert_same(tensors(met), tensors(free))


def test_the_turn_of_the_alphas_leaves_running_statistics_alone() -> None:
    module = search(order=2)
    fitted(module)
    norms = [one for one in module.student.modules() if isinstance(one, nn.BatchNorm2d)]
    assert {int(norm.num_batches_tracked) for norm in norms} == {1}  # type: ignore[arg-type]


def test_a_half_with_one_image_takes_no_step() -> None:
    module = search()
    data = digits(batch_size=16, train_samples=64)
    data.setup("fit")
    batch = next(iter(data.pipeline.train_loader(None)))
    first = for_weights(batch, 0)
    few = torch.cat([first.nonzero()[:1, 0], (~first).nonzero()[:4, 0]])
    before = tensors(module)
    running = trainer(limit_train_batches=1, limit_val_batches=0)

    class Few(pl.Callback):
        def on_train_batch_start(self, *args: Any) -> None:
            given = args[2]
            given.image, given.target = given.image[few], given.target[few]
            given.index = given.index[few]

    running.callbacks.append(Few())  # type: ignore[attr-defined]
    running.fit(module, data)
    after = tensors(module)
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed
    assert all(name.startswith("student.alphas") for name in changed)


def test_the_auxiliary_skip_fades_out() -> None:
    module, seen = search(auxiliary_skip=True), []

    class Watch(pl.Callback):
        def on_train_epoch_end(self, *_: object) -> None:
            seen.append(module.supernet.skip)

    fitted(module, max_epochs=3, callbacks=[Watch()])
    assert seen == [1.0, 0.5, 0.0]
    seen.clear()
    module = search(auxiliary_skip=True)
    fitted(module, max_epochs=-1, max_steps=3, callbacks=[Watch()])
    assert seen == [1.0, 0.5, 0.0]


def test_alphas_rest_in_warm_epochs() -> None:
    module, moved = search(warm_epochs=2, limits={"flops": 10000.0}), list[bool]()
    start = supernet().alphas["normal"]

    class Watch(pl.Callback):
        def on_train_epoch_end(self, *_: object) -> None:
            moved.append(not torch.equal(module.supernet.alphas["normal"], start))

    fitted(module, max_epochs=3, callbacks=[Watch()])
    assert moved == [False, False, True]


def test_one_path_is_trained_at_a_time() -> None:
    module = search(relaxation="gumbel")
    before = tensors(module.student)
    fitted(module)
    after = tensors(module.student)
    for cell in range(2):
        for edge in range(2):
            place = f"cells.{cell}.mixed.{edge}."
            ops = {n.split(".")[4] for n in before if n.startswith(place)}
            moved = {
                name.split(".")[4]
                for name in before
                if name.startswith(place) and not torch.equal(before[name], after[name])
            }
            assert len(moved) < len(ops)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"student": tiny(8)},
            "^student must be a supernet, such as students.MixedCells",
        ),
        ({"relaxation": "gumbel", "order": 2}, "^order 2 needs relaxation softmax"),
        ({"cost_weight": -1.0}, "^cost_weight must be at least 0, got -1.0$"),
        ({"temperature": (1.0, 0.0)}, r"^temperature must be above 0, got \[1.0, 0.0\]$"),
    ],
)
def test_what_does_not_go_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        search(**changes)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"accumulate_grad_batches": 2}, r"^trainer\.accumulate_grad_batches: must be 1"),
        ({"limits": {"flops": 10.0}}, r"^model\.limits\.flops: 10, what all designs share has"),
    ],
)
def test_what_does_not_fit_the_training_is_refused(options: dict[str, Any], message: str) -> None:
    given = {name: options.pop(name) for name in ("limits",) if name in options}
    with pytest.raises(RecipeError, match=message):
        fitted(search(**given), **options)


def test_loaders_without_numbers_are_refused() -> None:
    images = torch.utils.data.TensorDataset(torch.rand(8, 1, 8, 8), torch.arange(8))
    loader = torch.utils.data.DataLoader(images, batch_size=4)
    with pytest.raises(RecipeError, match=r"^data: a gradient search halves numbered images"):
        trainer(limit_val_batches=0).fit(search(), loader, loader)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("world_size", 2, r"^trainer\.devices: must be 1"),
        ("precision", "16-mixed", r"^trainer\.precision: a gradient search takes bf16-mixed"),
    ],
)
def test_what_this_machine_lacks_is_refused_too(
    monkeypatch: pytest.MonkeyPatch, name: str, value: object, message: str
) -> None:
    monkeypatch.setattr(pl.Trainer, name, value)
    with pytest.raises(RecipeError, match=message):
        fitted(search())


def recipe(**model: Any) -> dict[str, Any]:
    arguments = {"cells": 2, "width": 4, "nodes": 1, "reduce_at": [1], "ops": OPS}
    heads = {"num_classes": 10, "in_channels": 1}
    student = {"class_path": "students.MixedCells", "init_args": heads | arguments}
    ce = {"loss": "torch.nn.CrossEntropyLoss", "inputs": dict(CE.inputs)}
    step = {"class_path": "torch.optim.lr_scheduler.StepLR", "init_args": {"step_size": 1}}
    adam = {"class_path": "torch.optim.Adam", "init_args": {"lr": 0.1}}
    given = {"teacher": None, "student": student, "losses": {"ce": ce}, "scheduler": step}
    given |= {"architecture_optimizer": adam, "auxiliary_skip": True} | model
    crop = {"class_path": "distill.augment.RandomCrop", "init_args": {"padding": 1}}
    data = {"batch_size": 20, "train_samples": 100, "augment": [crop]}
    return {
        "model": {"class_path": "distill.modules.DifferentiableSearch", "init_args": given},
        "data": {"class_path": "distill.data.Digits", "init_args": data},
        "trainer": {
            "max_epochs": 3,
            "accelerator": "cpu",
            "log_every_n_steps": 1,
        },
    }


KINDS = [{"order": 2}, {"relaxation": "gumbel"}]


def test_a_run_resumes_bitwise(tmp_path: Path) -> None:
    whole = assert_resumes(recipe(relaxation="gumbel"), [7], tmp_path)
    assert json.loads((whole / "result.json").read_text())["steps"] == 15
    (states,) = final_state(whole)["optimizer_states"]
    assert states.keys() == {"weights", "architecture"}
    assert states["architecture"]["state"]


@pytest.mark.slow
@pytest.mark.parametrize("model", KINDS)
def test_a_run_resumes_bitwise_from_every_step(tmp_path: Path, model: dict[str, Any]) -> None:
    whole = assert_resumes(recipe(**model), range(1, 16), tmp_path)
    assert json.loads((whole / "result.json").read_text())["steps"] == 15
