"""A set of images that is larger than the memory trains from shards."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from tests.fixtures.sources import tar

ROOT = Path(__file__).parents[2]
SIDE, SHARDS, EACH, MEGABYTES = 192, 4, 1000, 128


def ppm(number: int) -> bytes:
    """An image of noise, 111 kB."""
    pixels = np.random.default_rng(number).bytes(SIDE * SIDE * 3)
    return b"P6 %d %d 255\n" % (SIDE, SIDE) + pixels


def write(folder: Path, kind: str, shards: int, each: int) -> str:
    folder.mkdir()
    for shard in range(shards):
        numbers = range(shard * each, (shard + 1) * each)
        images = [ppm(number) for number in numbers]
        if kind == "tar":
            files = {f"{n:06}.ppm": image for n, image in zip(numbers, images, strict=True)}
            files |= {f"{n:06}.cls": str(n % 10).encode() for n in numbers}
            tar(folder / f"{shard}.tar", files)
        else:
            table = pa.table({"image": images, "label": [n % 10 for n in numbers]})
            pyarrow.parquet.write_table(table, folder / f"{shard}.parquet", row_group_size=100)
    return f"{folder}/*.{kind}"


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["tar", "parquet"])
def test_a_set_of_three_times_the_memory_trains(kind: str, tmp_path: Path) -> None:
    """In 128 MiB, of 424 MB of images; held in memory, the same set does not fit."""
    given = [write(tmp_path / "set", kind, SHARDS, EACH), write(tmp_path / "few", kind, 1, 40)]
    told = {}
    for in_memory in (False, True):
        folder = tmp_path / str(in_memory)
        folder.mkdir()
        arguments = [*given, str(in_memory), str(MEGABYTES)]
        told[in_memory] = subprocess.run(
            [sys.executable, "-m", "tests.fixtures.limited", *arguments],
            cwd=folder,
            env=os.environ
            | {"OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1", "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=500,
            check=False,
        )
    assert told[False].returncode == 0, told[False].stderr
    found = re.fullmatch(r"225 steps, (\d+) MiB more, \d+ kB\n", told[False].stdout)
    assert found, told[False].stdout
    assert int(found[1]) < MEGABYTES
    assert told[True].returncode != 0
    assert re.search("MemoryError|allocate memory", told[True].stderr)
