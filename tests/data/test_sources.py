from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torchvision

from distill.data.sources import open_source
from tests.fixtures.sources import FakeSet, folder, parquet, pixels, png, tar

NAMES = ["ant/a.png", "ant/b.png", "bee/a.png", "cat/a.png", "cat/b.PNG"]
TARGETS = [0, 0, 1, 2, 2]


def as_folder(tmp_path: Path, images: list[bytes]) -> Path:
    return folder(tmp_path / "set", dict(zip(NAMES, images, strict=True)))


def as_tar(tmp_path: Path, images: list[bytes]) -> Path:
    return tar(tmp_path / "set.tar", dict(reversed(list(zip(NAMES, images, strict=True)))))


def as_parquet(tmp_path: Path, images: list[bytes]) -> Path:
    labels = [name.split("/")[0] for name in NAMES]
    return parquet(tmp_path / "set.parquet", {"image": images, "label": labels})


KINDS = pytest.mark.parametrize("write", [as_folder, as_tar, as_parquet])
Write = Callable[[Path, list[bytes]], Path]


@KINDS
def test_images_classes_and_targets_are_what_was_written(tmp_path: Path, write: Write) -> None:
    source = open_source(str(write(tmp_path, [png(i) for i in range(5)])))
    assert source.classes == ("ant", "bee", "cat")
    assert source.targets.dtype == torch.int64
    assert source.targets.tolist() == TARGETS
    for number in (4, 0, 2, 1, 3):
        assert np.array_equal(np.asarray(source.image(number)), pixels(number))


@KINDS
@pytest.mark.parametrize("damaged", [b"", b"not an image", png(2)[:60], png(2)[:-40]])
def test_a_damaged_image_is_named(tmp_path: Path, write: Write, damaged: bytes) -> None:
    source = open_source(str(write(tmp_path, [png(0), png(1), damaged, png(3), png(4)])))
    end = "set.parquet: row 2" if write is as_parquet else "bee/a.png"
    assert source.name(2).endswith(end)
    assert source.name(2).startswith(str(tmp_path))
    with pytest.raises(ValueError, match="cannot read image") as caught:
        source.image(2)
    assert source.name(2) in str(caught.value)
    assert np.array_equal(np.asarray(source.image(3)), pixels(3))


def test_a_missing_path_is_refused_with_the_names_that_would_do(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no such file or folder: .*/none.*CIFAR100.*MNIST"):
        open_source(str(tmp_path / "none"))
    with pytest.raises(ValueError, match="no such file or folder: cifar10"):
        open_source("cifar10")


def test_images_are_in_the_order_of_folders_and_in_a_tar_of_names(tmp_path: Path) -> None:
    """As they were before: a cache knows a sample by its number."""
    files = {name: png(0) for name in ("a-b/1.png", "a/2.png", "a/x/1.png", "a/10.png")}
    order = {
        folder(tmp_path / "set", files): ["a/10.png", "a/2.png", "a/x/1.png", "a-b/1.png"],
        tar(tmp_path / "set.tar", files): ["a-b/1.png", "a/10.png", "a/2.png", "a/x/1.png"],
    }
    for path, names in order.items():
        source = open_source(str(path))
        assert [source.name(i)[len(str(path)) + 1 :] for i in range(4)] == names
        assert source.classes == ("a", "a-b")


@pytest.mark.parametrize(
    ("ending", "mode", "program"),
    [("gz", "w:gz", "gunzip"), ("bz2", "w:bz2", "bunzip2"), ("xz", "w:xz", "unxz")],
)
def test_a_compressed_tar_is_refused_with_what_to_do(
    tmp_path: Path, ending: str, mode: str, program: str
) -> None:
    path = tar(tmp_path / f"x.tar.{ending}", {"a/1.png": png(0), "b/1.png": png(1)}, mode)
    told = f"^{path} is compressed, and .*: {program} it and give the .tar$"
    with pytest.raises(ValueError, match=told):
        open_source(str(path))


@pytest.mark.parametrize("data", [b"", b"no tar", png(0), bytes(2000)])
def test_any_other_file_is_refused_with_what_is_taken(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "one.png"
    path.write_bytes(data)
    told = rf"^{path} is none of: a folder, tar or zip .*KEY\.cls.*parquet.*CSV.*CIFAR10"
    with pytest.raises(ValueError, match=told):
        open_source(str(path))


@pytest.mark.parametrize("train", [True, False])
def test_a_torchvision_set_is_opened_by_name(monkeypatch: pytest.MonkeyPatch, train: bool) -> None:
    monkeypatch.setattr(torchvision.datasets, "CIFAR10", FakeSet)
    source = open_source("CIFAR10", "somewhere", train)
    assert source._set.root == "somewhere"
    assert source.classes == tuple("abcdefgh")
    assert source.targets.tolist() == [7 if train else 3]
    assert source.targets.dtype == torch.int64
    assert np.array_equal(np.asarray(source.image(0)), pixels(int(train)))
    assert source.name(0) == f"CIFAR10 {'train' if train else 'test'} #0"


def test_targets_of_a_torchvision_set_may_be_a_tensor(monkeypatch: pytest.MonkeyPatch) -> None:
    mnist = SimpleNamespace(targets=torch.tensor([1, 0]), classes=["0 - zero", "1 - one"])
    monkeypatch.setattr(torchvision.datasets, "MNIST", lambda *_, **__: mnist)
    assert open_source("MNIST").targets.tolist() == [1, 0]


@pytest.mark.parametrize("error", [OSError, RuntimeError])
def test_a_download_that_fails_is_told(
    monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise error("no network")

    monkeypatch.setattr(torchvision.datasets, "KMNIST", fails)
    with pytest.raises(ValueError, match="KMNIST is not in elsewhere and could not be downloaded"):
        open_source("KMNIST", "elsewhere")
