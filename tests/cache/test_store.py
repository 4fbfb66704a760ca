import os
import signal
import sqlite3
import time
from collections.abc import Iterator
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import pytest

from distill.cache.store import Entry, Store
from distill.core.errors import RecipeError

FIELDS = {"model.teacher": "ResNet", "data.seed": "0"}
FORK = get_context("fork")


def entry(sample: int, size: int = 40) -> Entry:
    """An entry whose content follows from its sample."""
    return Entry(sample * 7919, (size,), np.random.default_rng(sample).bytes(size))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(tmp_path / "cache.sqlite", FIELDS)
    yield opened
    opened.close()


def test_what_is_written_is_read_and_what_is_not_is_none(store: Store) -> None:
    store.write("teacher.logits", 3, [5, 2], [entry(5), entry(2)])
    assert store.read("teacher.logits", 3, [2, 4, 5]) == [entry(2), None, entry(5)]
    assert store.read("teacher.logits", 2, [2]) == [None]
    assert store.read("teacher@layer3", 3, [2]) == [None]


def test_largest_keys_do_not_meet(store: Store) -> None:
    last, most = 2**22 - 1, 2**31 - 1
    store.write("a", last, [most], [entry(1)])
    store.write("b", 0, [0], [entry(2)])
    assert store.read("a", last, [most]) == [entry(1)]
    assert store.read("b", 0, [0]) == [entry(2)]


def test_the_first_entry_of_a_key_stays(store: Store) -> None:
    store.write("a", 0, [1, 2], [entry(1), entry(2)])
    store.write("a", 0, [2, 3], [entry(9), entry(3)])
    assert store.read("a", 0, [1, 2, 3]) == [entry(1), entry(2), entry(3)]


def test_a_second_store_on_the_same_file_shares_entries(store: Store) -> None:
    store.write("a", 0, [1], [entry(1)])
    second = Store(store.path, FIELDS)
    second.write("b", 0, [2], [entry(2)])
    assert second.read("a", 0, [1]) == [entry(1)]
    assert store.read("b", 0, [2]) == [entry(2)]
    second.close()


def test_other_fields_are_refused_and_named(store: Store) -> None:
    with pytest.raises(RecipeError, match=r"data.seed was 0, is 1; name another file"):
        Store(store.path, FIELDS | {"data.seed": "1"})
    with pytest.raises(RecipeError, match=r"data.views was not there, is 3"):
        Store(store.path, FIELDS | {"data.views": "3"})


def test_a_file_that_is_no_cache_is_refused_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "notes.sqlite"
    path.write_text("not a database, " * 100)
    with pytest.raises(RecipeError, match=f"{path}: is not a usable cache: file is not a database"):
        Store(path, FIELDS)
    assert path.read_text().startswith("not a database")


def test_another_programs_database_is_refused_and_stays_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "mine.sqlite"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE photos (name TEXT)")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(RecipeError, match=r"another program's database, with a table photos$"):
        Store(path, FIELDS)
    assert path.read_bytes() == before


@pytest.mark.parametrize("fields", ["[]", "3", "null", '{"data.seed": 0}', "{", b"{}"])
def test_fields_of_another_type_are_told_as_damage(store: Store, fields: str | bytes) -> None:
    with sqlite3.connect(store.path) as connection:
        connection.execute("UPDATE facts SET value = ? WHERE name = 'fields'", (fields,))
    with pytest.raises(RecipeError, match=r"is damaged: its fields cannot be read: .*; remove it"):
        Store(store.path, FIELDS)


@pytest.mark.parametrize(("column", "value"), [("data", "text"), ("data", 7), ("seen", "text")])
def test_an_entry_of_another_type_is_told_as_damage(
    store: Store, column: str, value: str | int
) -> None:
    store.write("a", 0, [1], [entry(1)])
    with sqlite3.connect(store.path) as connection:
        connection.execute(f"UPDATE entries SET {column} = ?", (value,))  # noqa: S608 - constants
    with pytest.raises(
        RecipeError, match=r"sqlite: is damaged: [^;]*; remove it with `distill cache rm`$"
    ):
        store.read("a", 0, [1])


def test_another_format_is_refused(store: Store) -> None:
    with sqlite3.connect(store.path) as connection:
        connection.execute("UPDATE facts SET value = '0' WHERE name = 'format'")
    with pytest.raises(RecipeError, match="is a cache of another format: 0"):
        Store(store.path, FIELDS)


@pytest.mark.parametrize(
    "change", ["data = zeroblob(40)", "seen = seen + 1", "shape = '4,10'", "key = key + 1"]
)
def test_a_changed_entry_is_refused_and_named(store: Store, change: str) -> None:
    store.write("teacher.logits", 2, [17], [entry(17)])
    with sqlite3.connect(store.path) as connection:
        connection.execute(f"UPDATE entries SET {change}")  # noqa: S608 - a constant
    sample = 18 if change.startswith("key") else 17
    with pytest.raises(RecipeError, match=f"teacher.logits of sample {sample}, view 2 does not"):
        store.read("teacher.logits", 2, [sample])


def test_flipped_and_missing_bytes_never_give_another_entry(tmp_path: Path) -> None:
    """300 flips and 50 truncations: refused, or an entry is absent and would be made again."""
    store = Store(tmp_path / "cache.sqlite", FIELDS)
    samples = list(range(64))
    store.write("a", 0, samples, [entry(sample) for sample in samples])
    store.close()
    whole = store.path.read_bytes()
    draw = np.random.default_rng(0)
    told = []
    for trial in range(350):
        path = tmp_path / f"{trial}.sqlite"
        damaged = bytearray(whole)
        if trial < 300:
            damaged[draw.integers(len(whole))] ^= 1 << int(draw.integers(8))
        path.write_bytes(damaged if trial < 300 else damaged[: draw.integers(len(whole))])
        try:
            found = Store(path, FIELDS).read("a", 0, samples)
        except RecipeError as error:
            told.append((str(path), str(error)))
        else:
            wrong = [s for s in samples if found[s] is not None and found[s] != entry(s)]
            assert wrong == []
    assert len(told) > 50
    assert [error for path, error in told if path not in error] == []


def test_a_full_disk_is_told_as_such(store: Store) -> None:
    store._connection.execute("PRAGMA max_page_count = 20")
    with pytest.raises(OSError, match=r"cache.sqlite: database or disk is full"):
        store.write("a", 0, range(100), [entry(s, 4096) for s in range(100)])
    assert store.read("a", 0, [0]) == [None]


def write_on(path: Path, first: int, told: Connection) -> None:
    """Write batch after batch, and tell of each when it is there."""
    store = Store(path, FIELDS)
    for start in range(first, 10**9, 8):
        samples = list(range(start, start + 8))
        store.write("a", 0, samples, [entry(s, 400) for s in samples])
        told.send(start)


@pytest.mark.parametrize("rounds", [5, pytest.param(25, marks=pytest.mark.slow)])
def test_killed_writers_leave_no_wrong_and_lose_no_told_entry(tmp_path: Path, rounds: int) -> None:
    """Two writers of overlapping entries a round, each killed at a random moment: 50 in all."""
    path, draw = tmp_path / "cache.sqlite", np.random.default_rng(0)
    Store(path, FIELDS).close()
    told: set[int] = set()
    for _ in range(rounds):
        first = 8 * (len(told) // 2)  # half of what follows is there already
        writers = []
        for _ in range(2):
            here, there = FORK.Pipe()
            process = FORK.Process(target=write_on, args=(path, first, there))
            process.start()
            there.close()
            writers.append((process, here))
        time.sleep(draw.uniform(0.01, 0.03))
        for process, here in writers:
            os.kill(process.pid or 0, signal.SIGKILL)
            process.join()
            while here.poll():
                try:
                    told.add(here.recv())
                except EOFError:
                    break
    assert len(told) > 2 * rounds
    store = Store(path, FIELDS)
    for start in told:
        samples = list(range(start, start + 8))
        assert store.read("a", 0, samples) == [entry(s, 400) for s in samples]
    last = max(told) + 16
    for start in range(0, last, 8):
        samples = list(range(start, start + 8))
        found = store.read("a", 0, samples)
        assert found in ([None] * 8, [entry(s, 400) for s in samples])
    store.close()
