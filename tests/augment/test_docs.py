"""What the page about augmentation says can be pasted into a recipe."""

import inspect
import re
from pathlib import Path

import pytest
import yaml
from torch import nn

from distill import augment
from distill.recipes.check import check_arguments
from tests.augment.scenes import assert_same, noise

PAGE = (Path(__file__).parents[2] / "docs" / "augment.md").read_text()
BLOCKS = [yaml.safe_load(text) for text in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)]
LISTS = [
    block if isinstance(block, list) else block["data"]["init_args"]["augment"] for block in BLOCKS
]
SPECS = [spec for block in LISTS for spec in block]


def name_of(spec: dict) -> str:
    return spec["class_path"].removeprefix("distill.augment.")


def test_every_augmentation_is_shown_and_described() -> None:
    assert {name_of(spec) for spec in SPECS} == set(augment.__all__)
    rows = [line for line in PAGE.splitlines() if line.startswith("| `")]
    for name in augment.__all__:
        assert sum(f"`{name}`" in row.split("|")[1] for row in rows) == 1, name


@pytest.mark.parametrize("spec", SPECS, ids=name_of)
def test_what_is_shown_can_be_built(spec: dict) -> None:
    target, arguments = getattr(augment, name_of(spec)), spec.get("init_args", {})
    check_arguments("augment", target, arguments)
    assert isinstance(target(**arguments), nn.Module)


@pytest.mark.parametrize("name", augment.__all__)
def test_every_argument_is_described(name: str) -> None:
    (row,) = (line for line in PAGE.splitlines() if line.startswith("| `") and f"`{name}`" in line)
    described = set(re.findall(r"`(\w+)[`:]", row.split("|")[3]))
    assert described == set(inspect.signature(getattr(augment, name)).parameters) - {
        "args",
        "kwargs",
    }


def test_the_example_of_ones_own_works() -> None:
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    scope: dict = {}
    exec(code, scope)  # noqa: S102 - the page's own text
    batch = noise(20)
    view = scope["Negative"]()(batch, 1)
    changed = (view.image != batch.image).flatten(1).any(1)
    assert 3 < changed.sum() < 17
    again = scope["Negative"]()(view, 1)
    assert_same(again, batch)
