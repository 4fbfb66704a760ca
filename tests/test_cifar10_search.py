"""The images that a search chooses with are not those that its finals are tested on."""

import io
import tarfile
from pathlib import Path

import torch
from PIL import Image

from distill.data import Images
from distill.data.sources import open_source
from experiments.cifar10_search.parts import write_parts


def write_images(path: Path, count: int) -> None:
    """A tar of two class folders, each image of another grey."""
    with tarfile.open(path, "w") as tar:
        for number in range(count):
            file = io.BytesIO()
            Image.new("RGB", (8, 8), (number, number, number)).save(file, "PNG")
            member = tarfile.TarInfo(f"{'ab'[number % 2]}/{number}.png")
            member.size = file.tell()
            file.seek(0)
            tar.addfile(member, file)


def greys(source: str) -> list[int]:
    images = open_source(source)
    return [images.image(n).getpixel((0, 0))[0] for n in range(len(images.targets))]


def test_what_is_tested_on_is_what_a_recipe_holds_back(tmp_path: Path) -> None:
    write_images(tmp_path / "all.tar", 60)
    write_parts(tmp_path / "all.tar", tmp_path / "out")
    train, test = (greys(str(tmp_path / f"out/{name}.tar")) for name in ("train", "test"))
    assert sorted(train + test) == list(range(60))
    data = Images(str(tmp_path / "all.tar"), val=0.1)
    data.setup("fit")
    held_back = torch.cat([batch.image[:, 0, 0, 0] for batch in data.val_dataloader()])
    assert sorted(held_back.tolist()) == sorted(test)
    assert len(test) == 6
