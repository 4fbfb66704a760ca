"""docs/students.md says what the networks are."""

import re

import pytest
import torch
import yaml
from torch import Tensor, nn

import students
from distill.metrics import flops
from docs.student_zoo import PAGE, STUDENTS, build, facts, replaced, taps
from tests.students.factories import takes_classes_alone

TEXT = PAGE.read_text()
IMAGE = torch.zeros(1, 3, 32, 32)


def rows(block: str) -> list[list[str]]:
    inside = TEXT.split(f"<!-- {block} -->\n")[1].split(f"\n<!-- end of {block} -->")[0]
    table = inside.splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table]


def macs(network: nn.Module, image: Tensor) -> int:
    """Multiply-adds of convolutions and linear layers by their definition."""
    total = 0

    def count(module: nn.Module, given: tuple[Tensor], output: Tensor) -> None:
        nonlocal total
        total += output.numel() * module.weight[0].numel()

    layers = [m for m in network.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    handles = [layer.register_forward_hook(count) for layer in layers]
    network(image)
    for handle in handles:
        handle.remove()
    return total


def test_every_student_that_takes_classes_alone_is_on_the_page() -> None:
    assert set(STUDENTS) == {name for name in students.__all__ if takes_classes_alone(name)}
    assert [row[0] for row in rows("zoo")] == [f"`{name}`" for name in STUDENTS]


@pytest.mark.parametrize("name", STUDENTS)
def test_figures_of_the_zoo_are_current(name: str) -> None:
    """All but the times, which differ from run to run."""
    row = next(row for row in rows("zoo") if row[0] == f"`{name}`")
    assert tuple(row[:6]) == facts(name), "run: python docs/student_zoo.py"
    assert all(float(time) > 0 for time in row[6:])
    assert len(row) == 8


def test_the_table_of_paths_is_current() -> None:
    assert replaced(TEXT, "taps", taps()) == TEXT, "run: python docs/student_zoo.py"


def test_a_page_without_the_block_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^the page needs one block taps, got 0$"):
        replaced("<!-- taps -->", "taps", "text")


@pytest.mark.parametrize("name", ["resnet8", "mobilenet_v2_half", "shufflenet_v1", "googlenet32"])
def test_a_multiply_add_counts_as_two(name: str) -> None:
    network = build(name)
    assert flops(network, IMAGE) == 2 * macs(network, IMAGE)


def test_a_deformable_convolution_counts_as_a_plain_one_beside_its_offsets() -> None:
    plain, deform = flops(build("resnet8"), IMAGE), flops(build("deform_resnet8"), IMAGE)
    offsets = 64 * 27 * 9 * 32 + 64 * 27 * 9 * 64  # 8x8 positions, 32 and then 64 channels
    assert deform == plain + 2 * offsets


def test_attention_of_a_transformer_is_counted() -> None:
    """Queries with keys and shares with values: 65 x 65 x 128 each, in six blocks."""
    network = build("vit32")
    linear = macs(network, IMAGE)
    assert flops(network, IMAGE) == 2 * (linear + 6 * 2 * 65 * 65 * 128)


@pytest.mark.parametrize("line", re.findall(r"^ *student: (\{.*\})$", TEXT, re.MULTILINE))
def test_every_line_of_the_page_builds_its_student(line: str) -> None:
    node = yaml.safe_load(line)
    factory = getattr(students, node["class_path"].removeprefix("students."))
    assert isinstance(factory(**node["init_args"]), nn.Module)
