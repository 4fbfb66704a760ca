import sqlite3
from pathlib import Path

import pytest

from distill.cache.listing import list_caches, remove, rows
from distill.cache.shard_store import ShardStore
from distill.cache.store import Entry, Store
from distill.core.errors import RecipeError


def made(path: Path) -> Path:
    store = Store(path, {"model.teacher": "ResNet"})
    store.write("teacher.logits", 0, [1, 2], [Entry(0, (1,), b"abcd")] * 2)
    store.write("teacher@layer", 0, [1], [Entry(0, (1,), b"abcd")])
    store.close()
    return path


def test_caches_are_listed_with_what_they_hold(tmp_path: Path) -> None:
    assert list_caches(tmp_path) == []
    path = made(tmp_path / "a.sqlite")
    (found,) = list_caches(tmp_path)
    assert found.path == path
    assert found.entries == {"teacher.logits": 2, "teacher@layer": 1}
    assert found.size >= path.stat().st_size > 0
    ((file, size, entries, teacher),) = rows([found])
    assert file == str(path)
    assert size.endswith(" MiB")
    assert (entries, teacher) == ("teacher.logits 2, teacher@layer 1", "ResNet")


def test_a_cache_is_removed_with_all_its_files(tmp_path: Path) -> None:
    path, other = made(tmp_path / "abc.sqlite"), made(tmp_path / "abd.sqlite")
    with pytest.raises(RecipeError, match="ab: fits 2 caches"):
        remove(tmp_path, "ab")
    assert remove(tmp_path, "abc") == path
    assert remove(tmp_path, str(other)) == other
    assert list(tmp_path.iterdir()) == []


def test_shards_are_listed_and_removed_as_files_are(tmp_path: Path) -> None:
    made(tmp_path / "a.sqlite")
    path = tmp_path / "b.shards"
    for samples in ([1, 2], [2, 3]):  # of two writers
        store = ShardStore(str(path), {"model.teacher": "ResNet"})
        store.write("teacher.logits", 0, samples, [Entry(samples[0], (1,), b"abcd")] * 2)
        store.write("teacher@layer:input", 4, [1], [Entry(0, (1,), b"abcd")])
        store.close()
    assert list_caches(tmp_path)[1].entries == {"teacher.logits": 3, "teacher@layer:input": 1}
    size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    assert list_caches(tmp_path)[1].size == size
    assert rows(list_caches(tmp_path))[1][3] == "ResNet"
    (path / "teacher.logits" / "0" / ".unfinished.1").write_bytes(b"ab")
    (path / "mine.txt").write_text("notes")
    with pytest.raises(RecipeError, match=r"is not removed: mine.txt in it is no file of a cache"):
        remove(tmp_path, "b")
    (path / "mine.txt").unlink()
    assert remove(tmp_path, "b") == path
    assert remove(tmp_path, "a") == tmp_path / "a.sqlite"
    with pytest.raises(RecipeError, match=r"b.shards: is no cache"):
        remove(tmp_path, str(path))
    with pytest.raises(RecipeError, match=r"memory://b: is no cache"):
        remove(tmp_path, "memory://b")
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_shard_is_told_in_the_list(tmp_path: Path) -> None:
    store = ShardStore(str(tmp_path / "b.shards"), {})
    store.write("a", 0, [1], [Entry(0, (1,), b"abcd")])
    store.close()
    (shard,) = tmp_path.rglob("*.safetensors")
    shard.write_bytes(shard.read_bytes()[:60])
    with pytest.raises(RecipeError, match=f"{shard}: is damaged"):
        list_caches(tmp_path)
    (tmp_path / "c.shards").mkdir()
    shard.unlink()
    with pytest.raises(RecipeError, match=r"c.shards: is not a usable cache: no cache of shards"):
        list_caches(tmp_path)


def test_a_damaged_cache_is_told_in_the_list_and_can_be_removed(tmp_path: Path) -> None:
    for number, sign in enumerate([b"SQLite", b"data.seed"]):
        path = Store(tmp_path / f"{number}.sqlite", {"data.seed": "0"}).path
        path.write_bytes(path.read_bytes().replace(sign, b"\xff" * len(sign)))
        for beside in ("-wal", "-shm"):
            path.with_name(path.name + beside).unlink(missing_ok=True)
        with pytest.raises(RecipeError, match=f"{path}: is not a usable cache"):
            list_caches(tmp_path)
        assert remove(tmp_path, str(path)) == path
    assert list(tmp_path.iterdir()) == []


def test_another_programs_database_is_not_removed(tmp_path: Path) -> None:
    path = tmp_path / "mine.sqlite"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE photos (name TEXT)")
    connection.close()
    path.with_name("mine.sqlite.lock").touch()
    with pytest.raises(RecipeError, match="another program's database, with a table photos"):
        remove(tmp_path, "mine")
    assert path.is_file()


def test_what_is_no_cache_is_not_removed(tmp_path: Path) -> None:
    made(tmp_path / "abc.sqlite")
    with pytest.raises(RecipeError, match=r"abx: is no cache.*abc"):
        remove(tmp_path, "abx")
    notes = tmp_path / "notes.txt"
    notes.write_text("mine " * 200)
    with pytest.raises(RecipeError, match=r"notes.txt: is not a usable cache"):
        remove(tmp_path, str(notes))
    assert notes.is_file()
