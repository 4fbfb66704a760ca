from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision

from distill.data.sources import UNLABELLED, open_unlabelled
from tests.fixtures.sources import FakeSet, folder, parquet, pixels, png, tar

FLAT = {f"{number}.png": png(number) for number in range(3)}
CLASSES = {f"{name}/{number}.png": png(number) for number, name in enumerate("cab")}


def source(path: Path, kind: str, files: dict[str, bytes]) -> str:
    if kind == "folder":
        return str(folder(path / "set", files))
    if kind == "tar":
        return str(tar(path / "set.tar", files))
    columns = {"image": list(files.values())}
    labels = {"label": [name.split("/")[0] for name in files]} if files is CLASSES else {}
    return str(parquet(path / "set.parquet", columns | labels))


@pytest.mark.parametrize("kind", ["folder", "tar", "parquet"])
@pytest.mark.parametrize("files", [FLAT, CLASSES], ids=["flat", "classes"])
def test_all_images_are_there_and_no_label_is_read(
    tmp_path: Path, kind: str, files: dict[str, bytes]
) -> None:
    found = open_unlabelled(source(tmp_path, kind, files))
    assert found.classes == ()
    assert found.targets.tolist() == [UNLABELLED] * 3
    assert found.targets.dtype == torch.int64
    images = {np.asarray(found.image(i)).tobytes() for i in range(3)}
    assert images == {pixels(i).tobytes() for i in range(3)}


def test_a_folder_may_hold_images_at_any_depth(tmp_path: Path) -> None:
    files = {"1.png": png(0), "a/b/2.png": png(1), "empty/notes.txt": b""}
    found = open_unlabelled(str(folder(tmp_path, files)))
    assert [Path(found.name(i)).name for i in range(2)] == ["1.png", "2.png"]


@pytest.mark.parametrize("kind", ["folder", "tar", "parquet"])
def test_no_images_are_refused(tmp_path: Path, kind: str) -> None:
    files = {} if kind == "parquet" else {"notes.txt": b""}
    with pytest.raises(ValueError, match=r"no images in .*set"):
        open_unlabelled(source(tmp_path, kind, files))


def test_of_a_torchvision_set_the_training_half_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torchvision.datasets, "CIFAR10", FakeSet)
    found = open_unlabelled("CIFAR10")
    assert (found.classes, found.targets.tolist()) == ((), [UNLABELLED])
    assert np.array_equal(np.asarray(found.image(0)), pixels(1))
