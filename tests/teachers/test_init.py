import inspect
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

import teachers

PAGE = (Path(__file__).parents[2] / "docs" / "teachers.md").read_text()
BLOCKS = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.parametrize("block", BLOCKS)
def test_a_block_of_the_page_names_arguments_that_are_there(block: str) -> None:
    spec: Any = yaml.safe_load(block)["teacher"]
    while spec and spec["class_path"].startswith("teachers."):
        factory = getattr(teachers, spec["class_path"].removeprefix("teachers."))
        inspect.signature(factory).bind(**spec["init_args"])
        spec = spec["init_args"].get("teacher")


def test_the_page_has_a_row_for_every_teacher() -> None:
    assert len(BLOCKS) >= 4
    rows = set(re.findall(r"^\| `teachers\.(\w+)` \|", PAGE, re.MULTILINE))
    assert rows == set(teachers.__all__)
