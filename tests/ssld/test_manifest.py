import json
from pathlib import Path

import pytest

from distill.core.errors import RecipeError
from distill.ssld.manifest import read_manifest, write_manifest


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "one.csv").write_text("1")
    (tmp_path / "two.csv").write_text("2")
    write_manifest(tmp_path, "clean", {"images": 3}, ["one.csv"])
    write_manifest(tmp_path, "label", {}, ["two.csv"])
    return tmp_path


def test_it_tells_the_facts_and_the_files(folder: Path) -> None:
    digest = "6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b"  # of "1"
    found = read_manifest(folder, "clean")
    assert found == {"images": 3, "files": {"one.csv": digest}, "after": {}}
    assert list(read_manifest(folder, "label")["after"]) == ["clean.json"]


def test_a_step_that_was_not_done_is_named(folder: Path) -> None:
    with pytest.raises(RecipeError, match=r"select.json: is missing: run .* with --from select"):
        read_manifest(folder, "select")


def test_a_changed_file_is_found_out(folder: Path) -> None:
    (folder / "one.csv").write_text("3")
    with pytest.raises(
        RecipeError, match=r"one.csv: does not match its hash in clean.json: run again with"
    ):
        read_manifest(folder, "clean")
    read_manifest(folder, "label")
    (folder / "two.csv").unlink()
    with pytest.raises(RecipeError, match=r"two.csv: does not match its hash in label.json"):
        read_manifest(folder, "label")


def test_a_step_before_it_that_was_done_anew_is_found_out(folder: Path) -> None:
    write_manifest(folder, "clean", {"images": 4}, ["one.csv"])
    told = r"clean.json: does not match its hash in label.json: run again with --from label"
    with pytest.raises(RecipeError, match=told):
        read_manifest(folder, "label")
    assert json.loads((folder / "clean.json").read_text())["images"] == 4
