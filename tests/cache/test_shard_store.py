import os
import signal
import time
from collections.abc import Iterator
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from uuid import uuid4

import numpy as np
import pytest
import torch

from distill.cache import CacheSettings, TeacherCache, shard_store, shard_view
from distill.cache.shard_store import ShardStore
from distill.cache.store import Entry
from distill.core.batch import Batch
from distill.core.errors import RecipeError

FIELDS = {"model.teacher": "ResNet", "data.seed": "0"}
FORK = get_context("fork")


def entry(sample: int, size: int = 40) -> Entry:
    """An entry whose content follows from its sample."""
    return Entry(sample * 7919, (size,), np.random.default_rng(sample).bytes(size))


def entries(samples: range, size: int = 40) -> list[Entry]:
    return [entry(sample, size) for sample in samples]


@pytest.fixture(autouse=True)
def look_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shard_view, "RELIST", 0.0)


@pytest.fixture(params=["folder", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ShardStore]:
    place = str(tmp_path / "kd.shards")
    opened = ShardStore(place if request.param == "folder" else f"memory://{uuid4()}", FIELDS)
    yield opened
    opened.close()


def shards(place: Path | str) -> list[Path]:
    return sorted(Path(place).rglob("*.safetensors"))


def test_what_is_written_is_read_before_and_after_it_is_in_a_file(store: ShardStore) -> None:
    store.write("teacher.logits", 3, [5, 2], [entry(5), entry(2)])
    for _ in range(2):
        assert store.read("teacher.logits", 3, [2, 4, 5]) == [entry(2), None, entry(5)]
        assert store.read("teacher.logits", 2, [2]) == [None]
        assert store.read("teacher@layer3:input", 3, [2]) == [None]
        store.flush()
    again = ShardStore(str(store.path), FIELDS)
    assert again.read("teacher.logits", 3, [2, 4, 5]) == [entry(2), None, entry(5)]
    again.close()


def test_rows_are_found_in_any_order_and_over_several_shards(store: ShardStore) -> None:
    for start in range(0, 40, 8):
        store.write("a", 0, range(start, start + 8), entries(range(start, start + 8)))
        store.flush()
    order = np.random.default_rng(0).permutation(40).tolist()
    again = ShardStore(str(store.path), FIELDS)
    assert again.read("a", 0, order) == [entry(sample) for sample in order]
    again.close()


def test_rows_of_two_shapes_are_told_apart(store: ShardStore) -> None:
    store.write("a", 0, [1, 2, 3], [entry(1), entry(2, 16), entry(3)])
    store.flush()
    assert store.read("a", 0, [1, 2, 3]) == [entry(1), entry(2, 16), entry(3)]


def test_largest_keys_do_not_meet(store: ShardStore) -> None:
    last, most = 2**22 - 1, 2**53 - 1
    store.write("a", last, [most], [Entry(-(2**63), (40,), entry(1).data)])
    store.write("b", 0, [0], [entry(2)])
    store.flush()
    assert store.read("a", last, [most]) == [Entry(-(2**63), (40,), entry(1).data)]
    assert store.read("b", 0, [0]) == [entry(2)]


def test_the_first_entry_of_a_key_stays(store: ShardStore) -> None:
    store.write("a", 0, [1, 2], [entry(1), entry(2)])
    store.write("a", 0, [2, 3], [entry(9), entry(3)])
    store.flush()
    store.write("a", 0, [3, 4], [entry(9), entry(4)])
    store.flush()
    assert store.read("a", 0, [1, 2, 3, 4]) == [entry(1), entry(2), entry(3), entry(4)]


def test_a_second_writer_shares_entries_and_both_may_write_the_same(store: ShardStore) -> None:
    second = ShardStore(str(store.path), FIELDS)
    for each in (store, second):
        each.write("a", 0, [1, 2], [entry(1), entry(2)])
    second.write("a", 0, [3], [entry(3)])
    store.flush()
    second.flush()
    assert store.read("a", 0, [1, 2, 3]) == [entry(1), entry(2), entry(3)]
    second.close()


def test_a_file_is_written_where_there_is_enough_for_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = ShardStore(str(tmp_path / "kd.shards"), FIELDS)
    monkeypatch.setattr(shard_store, "SHARD_BYTES", 1000)
    for start in range(0, 64, 8):
        store.write("a", 0, range(start, start + 8), entries(range(start, start + 8)))
    assert len(shards(store.path)) == 4
    assert store.read("a", 0, range(64)) == entries(range(64))
    monkeypatch.setattr(shard_store, "SHARD_SECONDS", -1.0)
    store.write("a", 0, [64], [entry(64)])
    assert len(shards(store.path)) == 5


def test_other_fields_are_refused_and_named(store: ShardStore) -> None:
    with pytest.raises(RecipeError, match=r"data.seed was 0, is 1; name another folder"):
        ShardStore(str(store.path), FIELDS | {"data.seed": "1"})
    with pytest.raises(RecipeError, match=r"data.views was not there, is 3"):
        ShardStore(str(store.path), FIELDS | {"data.views": "3"})
    ShardStore(str(store.path), FIELDS).close()


def usable(place: str, seed: str) -> bool:
    try:
        ShardStore(place, {"data.seed": seed}).close()
    except RecipeError as error:
        return "data.seed was " not in str(error)
    return True


@pytest.mark.parametrize(("second", "first_name"), [("1", True), ("4", False)])
def test_of_two_that_claim_at_once_one_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, second: str, first_name: bool
) -> None:
    """The one whose claim has the first name; the second sees the other claim after its own."""
    place, claims = str(tmp_path / "kd.shards"), shard_store._claims
    assert usable(place, "0")
    with monkeypatch.context() as blind:
        views = iter([lambda _: [], claims, claims])
        blind.setattr(shard_store, "_claims", lambda folder: next(views)(folder))
        assert usable(place, second) == first_name
    assert (usable(place, second), usable(place, "0")) == (first_name, not first_name)


def test_a_file_in_its_place_is_refused_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "notes.shards"
    path.write_text("mine")
    with pytest.raises(RecipeError, match=rf"{path}: is not a usable cache: "):
        ShardStore(str(path), FIELDS)
    assert path.read_text() == "mine"


def test_a_changed_claim_is_told(tmp_path: Path) -> None:
    place = str(tmp_path / "kd.shards")
    ShardStore(place, FIELDS).close()
    (claim,) = Path(place).glob("fields.*")
    claim.write_text(claim.read_text().replace("ResNet", "VGG"))
    with pytest.raises(RecipeError, match="does not match the hash in its name"):
        ShardStore(place, {"data.seed": "1"})


def test_a_shard_of_another_place_is_told(store: ShardStore) -> None:
    for tensor, view in (("a", 0), ("a", 1), ("b", 0)):
        store.write(tensor, view, [1], [entry(1)])
    store.flush()
    folder = store._folder
    (name,) = folder.names("a/0")
    for place, said in (("a/1", "view is 0 where 1"), ("b/0", "tensor is a where b")):
        folder.write(f"{place}/{name}", folder.read(f"a/0/{name}"))
        with pytest.raises(RecipeError, match=f"{place}/{name}: is damaged: its {said}"):
            ShardStore(str(store.path), FIELDS).read(place[0], int(place[2]), [1])


def test_flipped_and_missing_bytes_are_refused_and_the_shard_is_named(tmp_path: Path) -> None:
    """300 flips and 50 truncations: every one is told."""
    store = ShardStore(str(tmp_path / "kd.shards"), FIELDS)
    store.write("a", 0, range(64), entries(range(64)))
    store.close()
    (path,) = shards(store.path)
    whole, draw = path.read_bytes(), np.random.default_rng(0)
    for trial in range(350):
        damaged = bytearray(whole)
        damaged[draw.integers(len(whole))] ^= 1 << int(draw.integers(8))
        path.write_bytes(damaged if trial < 300 else whole[: draw.integers(len(whole))])
        opened = ShardStore(str(store.path), FIELDS)
        with pytest.raises(RecipeError, match=rf"{path}: is damaged: .*; remove this file"):
            opened.read("a", 0, range(64))
        opened._folder.close()
    path.unlink()
    assert ShardStore(str(store.path), FIELDS).read("a", 0, [1]) == [None]


def test_views_that_were_not_used_for_long_are_forgotten_and_read_again(tmp_path: Path) -> None:
    store = ShardStore(str(tmp_path / "kd.shards"), FIELDS)
    for view in range(40):
        store.write("a", view, [1], [entry(view)])
        store.flush()
    assert len(store._views) == 16
    assert len(store._folder._open) == 0
    for view in range(40):
        assert store.read("a", view, [1]) == [entry(view)]
    assert len(store._folder._open) == 32
    store.close()


BATCHES, ROWS = 40, 8


def seen_batch(number: int) -> Batch:
    index = torch.arange(number * ROWS, (number + 1) * ROWS)
    image = index.float().view(-1, 1, 1, 1).expand(-1, 1, 2, 2)
    return Batch(image, index % 3, index, 0)


def fill(place: str, first: int = 0, told: Connection | None = None) -> int:
    """Go through all batches, from one on; every third makes a shard. The number computed."""
    cache = TeacherCache(CacheSettings(place), FIELDS, ["teacher.logits"])
    for number in range(BATCHES):
        batch = seen_batch((first + number) % BATCHES)
        found = cache.outputs(batch, lambda of=batch: {"teacher.logits": of.image.flatten(1) * 2})
        assert torch.equal(found["teacher.logits"], batch.image.flatten(1) * 2)
        if number % 3 == 2:
            cache.flush()
            if told:
                told.send([(first + number - back) % BATCHES for back in range(3)])
    cache.store.close()
    return cache.misses


@pytest.mark.parametrize("rounds", [1, pytest.param(25, marks=pytest.mark.slow)])
def test_killed_writers_leave_no_wrong_row_and_lose_no_shard(tmp_path: Path, rounds: int) -> None:
    """Two writers a round are killed at random moments; a next run fills the rest."""
    draw = np.random.default_rng(0)
    for number in range(rounds):
        place = str(tmp_path / f"{number}.shards")
        told: set[int] = set()
        writers = []
        for first in (0, BATCHES // 2 - 5):  # their batches overlap
            here, there = FORK.Pipe()
            process = FORK.Process(target=fill, args=(place, first, there))
            process.start()
            there.close()
            writers.append((process, here))
        for process, here in writers:
            time.sleep(draw.uniform(0.01, 0.06))
            os.kill(process.pid or 0, signal.SIGKILL)
            process.join()
            while here.poll():
                try:
                    told.update(here.recv())
                except EOFError:
                    break
        computed = fill(place)
        assert computed <= BATCHES - len(told)
        assert fill(place) == 0
