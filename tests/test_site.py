"""The site: every page is in it, every link leads somewhere, its commands run, it builds."""

import importlib.util
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from PIL import Image

from distill.cli import main
from docs import gallery, pages
from tests.fixtures.images import folder, picture

ROOT = Path(__file__).parents[1]
PAGES = sorted(path for path in (ROOT / "docs").glob("*.md"))
SHOWN = ["index", "five_minutes", "multi_label", "text_lines", "dense", "embeddings"]
FEW = ["--trainer.max_epochs=1", "--trainer.check_val_every_n_epoch=1"]
FEW_SCENES = ["--data.train=20", "--data.val=8", "--data.test=8", "--data.batch_size=4"]


def navigation() -> list[str]:
    text = (ROOT / "mkdocs.yml").read_text()
    waiting, found = list(yaml.safe_load(text)["nav"]), []
    while waiting:
        entry = waiting.pop()
        if isinstance(entry, str):
            found.append(entry)
        else:
            waiting += entry.values() if isinstance(entry, dict) else entry
    return found


def anchors(path: Path) -> set[str]:
    text = pages.FENCE.sub("", path.read_text())
    titles = [re.sub(r"[^\w\s-]", "", title) for title in re.findall(r"^#+ (.*)$", text, re.M)]
    return {re.sub(r"[\s]", "-", title.strip().lower()) for title in titles}


def test_the_navigation_has_every_page_once() -> None:
    written = [path.name for path in PAGES]
    written += [p.relative_to(ROOT).as_posix() for p in ROOT.glob("experiments/*/README.md")]
    written += ["CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"]
    written += [f"reference/{package}.md" for package in pages.PUBLIC]
    assert sorted(navigation()) == sorted(written)


def test_the_reference_has_every_package_with_public_names() -> None:
    packages = set()
    for root in ("distill", "teachers", "students"):
        for path in (ROOT / root).rglob("__init__.py"):
            if "__all__ =" in path.read_text():
                packages.add(".".join(path.parent.relative_to(ROOT).parts))
    assert set(pages.PUBLIC) == packages - {"distill.cli", "distill.stages"}  # an app, an old name


def test_the_reference_names_where_a_name_is_written() -> None:
    assert "::: distill.losses.response.kd.KDLoss\n" in pages.reference("distill.losses")


@pytest.mark.parametrize("source", [path.relative_to(ROOT).as_posix() for path in PAGES])
def test_every_link_leads_somewhere(source: str) -> None:
    text = pages.FENCE.sub("", (ROOT / source).read_text())
    for _, link, rest in pages.LINK.findall(text):
        path = ROOT / pages.target(source, link)
        assert path.is_file(), link
        assert rest == ")" or rest[1:-1] in anchors(path), link + rest


def test_the_files_outside_that_pages_link_to_come_along() -> None:
    outside = pages.outside()
    assert {"experiments/digits/plot.png", "recipes/digits/kd.yaml", "CHANGELOG.md"} <= set(outside)
    assert not any(path.startswith("docs/") for path in outside)


def test_the_gallery_is_current(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert gallery.page() == gallery.PAGE.read_text(), "run: python docs/gallery.py"
    monkeypatch.setattr(gallery, "PAGE", tmp_path / "recipes.md")
    monkeypatch.setattr("sys.argv", ["gallery.py"])
    gallery.main()
    gallery.PAGE.write_text("stale")
    monkeypatch.setattr("sys.argv", ["gallery.py", "--check"])
    with pytest.raises(SystemExit, match="not current"):
        gallery.main()


@pytest.mark.slow
@pytest.mark.parametrize("name", SHOWN)
def test_the_commands_of_a_page_run(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As they stand, but for one epoch, of few scenes."""
    monkeypatch.chdir(tmp_path)
    text = (ROOT / "docs" / f"{name}.md").read_text()
    for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        (tmp_path / "mynet.py").write_text(block)
    if name == "five_minutes":
        for split in ("train", "val"):
            folder(tmp_path / "images" / split)
    elif name == "multi_label":
        rows = ["path,labels"]
        (tmp_path / "images").mkdir()
        for number in range(80):
            Image.fromarray(picture(number)).save(tmp_path / "images" / f"{number}.png")
            rows.append(f"{number}.png,{['cat;dog', 'cat', 'dog', ''][number % 4]}")
        (tmp_path / "images" / "labels.csv").write_text("\n".join(rows))
    (block,) = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    for line in block.strip().split("\n"):
        words = shlex.split(line)[1:]
        words += FEW if words[0] == "fit" else []
        words += FEW_SCENES if name == "dense" else []
        assert main(words) == 0, line
    results = sorted(Path("runs").rglob("result.json"))
    assert len(results) == sum("fit" in line.split() for line in block.split("\n"))
    assert all(json.loads(path.read_text())["steps"] > 0 for path in results)


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("mkdocs") is None, reason="needs distill[docs]")
def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1", "PYTHONPATH": str(ROOT)}
    built = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    page = (tmp_path / "reference" / "distill.losses" / "index.html").read_text()
    assert 'id="distill.losses.response.kd.KDLoss"' in page
    assert "<blockquote>" not in page, "an example is shown as a quotation"
    assert 'href="../site.css"' in (tmp_path / "recipes" / "index.html").read_text()
