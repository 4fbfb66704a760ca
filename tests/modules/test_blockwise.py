import copy
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from distill.core.errors import RecipeError
from distill.modules import Block, Blockwise, Normalization, Subnets
from distill.modules.blockwise import CONNECTORS, BlockLoss
from tests.fixtures.elastic import SPACE, elastic
from tests.fixtures.modules import digits, tensors, trainer
from tests.fixtures.networks import tiny
from tests.fixtures.runs import assert_resumes, final_state

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*does not have many workers.*", "ignore:.*LeafSpec.*"
)


def conv_teacher() -> nn.Module:
    """Maps of 5 channels and 8x8 places, then of 7 and 4x4, twice."""
    layers = [nn.Conv2d(1, 5, 3, padding=1), nn.ReLU(), nn.Conv2d(5, 7, 3, 2, 1), nn.ReLU()]
    layers += [nn.Conv2d(7, 7, 3, padding=1), nn.Flatten(), nn.Linear(7 * 16, 10)]
    return nn.Sequential(*layers)


BLOCKS = [
    Block("stages.0", "1", student_channels=8, teacher_channels=5),
    Block("stages.1", "3", student_channels=8, teacher_channels=7),
    Block("stages.2", "4", student_channels=8, teacher_channels=7),
]


def blockwise(**changes: Any) -> Blockwise:
    torch.manual_seed(0)
    given = {"teacher": conv_teacher(), "student": elastic(), "blocks": BLOCKS}
    return Blockwise(**(given | changes))


def test_the_loss_is_that_of_a_loop() -> None:
    loss = BlockLoss(Block("a", "b", 3, 4), last=True).double()
    torch.manual_seed(0)
    student, teacher = torch.randn(2, 2, 3, 3).double(), 5 + 2 * torch.randn(2, 4, 3, 3).double()
    weight, bias = (each.detach().numpy() for each in loss.leave.parameters())
    maps, wanted = student.numpy(), teacher.numpy()
    total = 0.0
    for b, c, y, x in product(range(2), range(4), range(3), range(3)):
        made = bias[c] + sum(weight[c, k, 0, 0] * maps[b, k, y, x] for k in range(2))
        total += (made - wanted[b, c, y, x]) ** 2
    spread = sum((each - wanted.mean()) ** 2 for each in wanted.flatten())
    np.testing.assert_allclose(loss(student, teacher).item(), total / spread, rtol=1e-12)


def test_the_loss_is_that_of_a_constant_where_the_mean_is_all_it_gives() -> None:
    loss = BlockLoss(Block("a", "b", 1, 4), last=True)
    teacher = torch.randn(3, 4, 2, 2)
    with torch.no_grad():
        loss.leave.weight.zero_()
        loss.leave.bias.fill_(teacher.mean())
    assert loss(torch.randn(3, 1, 2, 2), teacher).item() == pytest.approx(1)


def test_gradients_are_the_mean_of_those_of_blocks_alone() -> None:
    """Each block by itself, without the module: from the image, or from the teacher's maps."""

    module = blockwise(optimizer=_plain)
    start = copy.deepcopy(module)
    subnets = module.sandwich.of_step(0, 0)
    assert len(subnets) == 4
    data = digits()
    trainer(limit_train_batches=1, limit_val_batches=0).fit(module, data)
    batch = next(iter(data.pipeline.train_loader(None)))
    image = Normalization(data.mean, data.std)(batch.image)
    with torch.no_grad():
        maps = [start.teacher[: int(block.teacher) + 1](image) for block in BLOCKS]  # type: ignore[index]
    network: Any = start.student
    for architecture in subnets:
        network.choose(architecture)
        widths = [stage["width"] for stage in architecture["stages"]]
        for at, wanted in enumerate(maps):
            ending: Any = start.losses[f"block{at}"]
            given = network.stem(image)
            if at:
                before: Any = start.losses[f"block{at - 1}"]
                given = before.enter(maps[at - 1])[:, : widths[at - 1]]
            made = network.stages[at](given)
            wide = torch.zeros(len(made), 8, *made.shape[2:])
            wide[:, : widths[at]] = made
            loss = (ending.leave(wide) - wanted).square().mean() / wanted.var(correction=0)
            (loss / len(subnets)).backward()
    after = dict(module.named_parameters())
    for name, parameter in start.named_parameters():
        step = parameter.detach() - after[name].detach()
        wanted = torch.zeros_like(step) if parameter.grad is None else parameter.grad
        torch.testing.assert_close(step, wanted, rtol=1e-3, atol=1e-5, msg=name)
        assert wanted.any() or name.startswith("student.fc") or "transforms" in name, name


def first_losses(module: Blockwise) -> dict[str, float]:
    running = trainer(limit_train_batches=1, limit_val_batches=0)
    running.fit(module, digits())
    names = [f"block{at}" for at in range(3)]
    return {name: running.callback_metrics[f"train/loss/{name}"].item() for name in names}


def test_a_block_depends_on_no_other() -> None:
    module = blockwise()
    other = copy.deepcopy(module)
    with torch.no_grad():
        for parameter in other.student.stages[0].parameters():  # type: ignore[index,union-attr]
            parameter.mul_(2)
    one, two = first_losses(module), first_losses(other)
    assert one["block0"] != two["block0"]
    assert (one["block1"], one["block2"]) == (two["block1"], two["block2"])


def test_a_pass_outside_of_training_is_the_network_as_it_is() -> None:
    module = blockwise()
    first_losses(module)
    image = torch.rand(2, 1, 8, 8)
    module.eval()
    plain = module.elastic.extract().eval()
    assert torch.equal(module(image), plain(module.networks.normalization["student"](image)))


def test_kept_maps_train_as_live_ones_do(tmp_path: Path) -> None:
    """But for what keeping them in 16 bits rounds."""
    live, kept = first_losses(blockwise()), first_losses(blockwise(cache=str(tmp_path / "kept")))
    assert live == pytest.approx(kept, rel=1e-2)
    assert (tmp_path / "kept").is_file()


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"student": tiny(8)}, "student must be elastic, such as students.elastic_chain, got Tiny"),
        ({"blocks": []}, "blocks must be some, got none"),
    ],
)
def test_what_cannot_be_trained_is_refused(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=f"^{told}"):
        blockwise(**changes)


def test_a_block_needs_channels() -> None:
    with pytest.raises(ValueError, match=r"^a block needs channels, got Block\("):
        Block("stages.0", "1", 8, 0)


@pytest.mark.parametrize(
    ("at", "block", "told"),
    [
        (1, Block("stage.1", "3", 8, 7), "model.blocks.1.inputs.*no .*'stage.1'"),
        (1, Block("stages.1", "1", 8, 5), "model.blocks.1: .*needs maps of equal height and width"),
        (1, Block("stages.1", "3", 6, 7), "model.blocks.1: .*needs at most 6 student_channels"),
        (2, Block("stages.2", "4", 8, 6), "model.blocks.2: .*and 6 of the teacher's"),
        (1, Block("stages.2", "4", 8, 7), r"model.blocks.1: takes \(8, 4, 4\), the block before"),
    ],
)
def test_what_does_not_fit_is_told_in_one_line(at: int, block: Block, told: str) -> None:
    module = blockwise(blocks=[*BLOCKS[:at], block])
    with pytest.raises(RecipeError, match=f"^{told}") as caught:
        trainer().fit(module, digits())
    assert "\n" not in str(caught.value)


def recipe(epochs: int) -> dict[str, Any]:
    arguments = {"num_classes": 10, "in_channels": 1, **SPACE}
    student = {"class_path": "students.elastic_chain", "init_args": arguments}
    teacher = {"class_path": "students.resnet8", "init_args": {"num_classes": 10, "in_channels": 1}}
    places = (("stages.0", "layer1", 16), ("stages.1", "layer2", 32))
    blocks = [
        {"student": path, "teacher": of, "student_channels": 8, "teacher_channels": channels}
        for path, of, channels in places
    ]
    given = {"teacher": teacher, "student": student, "blocks": blocks}
    crop = {"class_path": "distill.augment.RandomCrop", "init_args": {"padding": 1}}
    data = {"batch_size": 20, "train_samples": 100, "augment": [crop]}
    return {
        "model": {"class_path": "distill.modules.Blockwise", "init_args": given},
        "data": {"class_path": "distill.data.Digits", "init_args": data},
        "trainer": {
            "max_epochs": epochs,
            "accelerator": "cpu",
            "log_every_n_steps": 1,
            "check_val_every_n_epoch": epochs,
        },
    }


@pytest.mark.parametrize(
    ("steps", "epochs"),
    [([2], 1), pytest.param([*range(1, 16)], 3, marks=pytest.mark.slow)],
    ids=["one", "all"],
)
def test_a_resumed_run_ends_bitwise_where_the_whole_one_ends(
    steps: list[int], epochs: int, tmp_path: Path
) -> None:
    whole = assert_resumes(recipe(epochs), steps, tmp_path)
    state = final_state(whole)["state_dict"]
    kept = load_file(whole / CONNECTORS)
    assert kept.keys() == {n.removeprefix("losses.") for n in state if n.startswith("losses.")}
    for name, value in kept.items():
        assert torch.equal(value, state[f"losses.{name}"])


def test_with_the_smallest_alone_what_lies_beyond_it_stays() -> None:
    module = blockwise(subnets=Subnets(largest=False, random=0), optimizer=_plain)
    before = tensors(module)
    first_losses(module)
    for at in (0, 1):
        name = f"losses.block{at}.enter.weight"
        width = (4, 6)[at]
        moved: Tensor = module.state_dict()[name] != before[name]
        assert moved[:width].any()
        assert not moved[width:].any()


def _plain(parameters: Any) -> torch.optim.Optimizer:
    return torch.optim.SGD(parameters, lr=1.0)
