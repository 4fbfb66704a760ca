"""The page on diagnostics names what is there."""

import re
from pathlib import Path

import pytest
import yaml

from distill import callbacks

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "diagnostics.md").read_text()


def test_the_callbacks_of_the_page_can_be_made() -> None:
    (block,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    specs = yaml.safe_load(block)["trainer"]["callbacks"]
    names = [spec["class_path"].rsplit(".", 1) for spec in specs]
    assert [package for package, _ in names] == ["distill.callbacks"] * 2
    for (_, name), spec in zip(names, specs, strict=True):
        getattr(callbacks, name)(**spec["init_args"])


@pytest.mark.parametrize("name", ["diagnostics.md", "report.md"])
def test_every_link_leads_somewhere(name: str) -> None:
    links = re.findall(r"\]\((?!http)([^)#]+)\)", (DOCS / name).read_text())
    assert links
    assert all((DOCS / link).is_file() for link in links)
