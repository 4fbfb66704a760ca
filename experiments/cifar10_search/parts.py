"""Divide a tar of training images into those to choose a student with, and those to test it with.

The 5,000 to test with are the ones that ``data.val: 0.1`` sets apart in a recipe, so a teacher of
such a recipe has not seen them either.

Usage, for CIFAR-10: python experiments/cifar10_search/parts.py IMAGES OUT
"""

import sys
import tarfile
from pathlib import Path

import torch

from distill.core.randomness import fold
from distill.data.pipeline import split_validation
from distill.data.sources import open_source


def write_parts(images: Path, out: Path) -> None:
    """Write ``train.tar`` and ``test.tar`` to a folder."""
    source = open_source(str(images))
    ids = torch.arange(len(source.targets))
    test, train = split_validation(ids, 0.1, fold("val"))
    out.mkdir(parents=True, exist_ok=True)
    with tarfile.open(images) as old:
        members = {member.name: member for member in old}
        for name, part in (("train.tar", train), ("test.tar", test)):
            with tarfile.open(out / name, "w") as new:
                for index in part.tolist():
                    member = members[source.name(index).removeprefix(f"{images}:")]
                    new.addfile(member, old.extractfile(member))


if __name__ == "__main__":
    write_parts(Path(sys.argv[1]), Path(sys.argv[2]))
