import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import Tensor

from distill.data import datasets
from distill.data import image_cache as module
from distill.data.datasets import load_table
from distill.data.image_cache import cached_images
from distill.data.sources import open_source


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Everything is slow enough to be kept."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(module, "_LEAST_SECONDS", 0.0)
    load_table.cache_clear()
    return tmp_path / "runs/cache/images"


def counted(images: Tensor) -> tuple[Callable[[], Tensor], list[int]]:
    calls: list[int] = []

    def decode() -> Tensor:
        calls.append(1)
        return images

    return decode, calls


IMAGES = torch.arange(24, dtype=torch.uint8).view(2, 3, 2, 2)


def test_images_are_decoded_once_for_what_they_depend_on(folder: Path) -> None:
    decode, calls = counted(IMAGES)
    for name in ("a", "a", "b", "a"):
        assert torch.equal(cached_images(name, decode), IMAGES)
    assert len(calls) == 2
    assert len(list(folder.iterdir())) == 2


def test_nothing_is_kept_without_a_name_if_quick_or_too_large(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decode, _ = counted(IMAGES)
    cached_images(None, decode)
    monkeypatch.setattr(module, "_MOST_BYTES", 23)
    cached_images("large", decode)
    monkeypatch.setattr(module, "_MOST_BYTES", 24)
    monkeypatch.setattr(module, "_LEAST_SECONDS", 60.0)
    cached_images("quick", decode)
    assert not folder.exists()


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "another"])
def test_a_damaged_file_is_made_anew(folder: Path, damage: str) -> None:
    decode, calls = counted(IMAGES)
    cached_images("a", decode)
    (path,) = folder.iterdir()
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    spoilt = {"cut": content[:-5], "flipped": content, "empty": b"", "another": b"text " * 99}
    path.write_bytes(spoilt[damage])
    assert torch.equal(cached_images("a", decode), IMAGES)
    assert len(calls) == 2
    assert torch.equal(cached_images("a", decode), IMAGES)
    assert len(calls) == 2


def test_without_a_place_to_write_training_goes_on(folder: Path) -> None:
    Path("runs").write_text("a file where a folder should be")
    decode, _ = counted(IMAGES)
    with pytest.warns(UserWarning, match="decoded images were not cached, training continues"):
        assert torch.equal(cached_images("a", decode), IMAGES)


def test_a_changed_image_is_seen_and_a_moved_folder_decoded_again(tmp_path: Path) -> None:
    (tmp_path / "set/a").mkdir(parents=True)
    file = tmp_path / "set/a/0.png"

    def red() -> int:
        load_table.cache_clear()  # as in another process
        images, _, _ = load_table("set", "data", True, None, 3)
        return int(images[0, 0, 0, 0])

    Image.new("RGB", (4, 4), (10, 0, 0)).save(file)
    assert [red(), red()] == [10, 10]
    before = file.stat()
    Image.new("RGB", (4, 4), (20, 0, 0)).save(file)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns + 1))
    assert red() == 20


def test_size_and_channels_are_part_of_the_name(tmp_path: Path, folder: Path) -> None:
    (tmp_path / "set/a").mkdir(parents=True)
    Image.new("RGB", (4, 4), (10, 200, 0)).save(tmp_path / "set/a/0.png")
    shapes = []
    for size, channels in ((None, 3), (2, 3), (2, 1), (None, 3)):
        load_table.cache_clear()
        shapes.append(tuple(load_table("set", "data", True, size, channels)[0].shape))
    assert shapes == [(1, 3, 4, 4), (1, 3, 2, 2), (1, 1, 2, 2), (1, 3, 4, 4)]
    assert len(list(folder.iterdir())) == 3


def test_images_decoded_by_another_rule_are_decoded_again(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "set/a").mkdir(parents=True)
    Image.new("RGB", (4, 4)).save(tmp_path / "set/a/0.png")
    for rule in ("old", "new", "old"):
        monkeypatch.setattr(datasets, "PIXELS", rule)
        load_table.cache_clear()
        load_table("set", "data", True, None, 3)
    assert len(list(folder.iterdir())) == 2


def test_every_file_of_a_folder_is_in_its_stamp(tmp_path: Path) -> None:
    (tmp_path / "set/a").mkdir(parents=True)
    for number in range(2):
        Image.new("RGB", (4, 4)).save(tmp_path / f"set/a/{number}.png")
    stamp = open_source("set").stamp()
    Image.new("RGB", (4, 4)).save(tmp_path / "set/a/2.png")
    assert stamp is not None
    assert open_source("set").stamp() != stamp
    (tmp_path / "set/a/2.png").unlink()
    assert open_source("set").stamp() == stamp
