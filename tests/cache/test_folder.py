from pathlib import Path

import pytest

from distill.cache import CacheSettings
from distill.cache.folder import Folder


def test_a_file_is_whole_or_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Folder(str(tmp_path / "a.shards"))
    folder.write("x/one", b"old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("distill.cache.folder.os.fsync", full)
    for name in ("x/one", "x/two"):
        with pytest.raises(OSError, match="No space left"):
            folder.write(name, b"new")
    assert folder.all_files() == {"x/one": 3}
    assert folder.read("x/one") == b"old"


@pytest.mark.parametrize("place", ["folder", "memory://a.shards"])
def test_parts_names_and_sizes(place: str, tmp_path: Path) -> None:
    folder = Folder(place if "://" in place else str(tmp_path / place))
    assert folder.names("x") == []
    assert folder.all_files() == {}
    folder.write("x/b", b"0123456789")
    folder.write("x/a", b"")
    assert folder.names("x") == ["a", "b"]
    assert folder.names() == ["x"]
    assert folder.all_files() == {"x/a": 0, "x/b": 10}
    assert (folder.read("x/b", 2, 4), folder.read("x/b", 8, 99)) == (b"23", b"89")
    assert [folder.read_part("x/b", start, 3) for start in (4, 0, 8)] == [b"456", b"012", b"89"]
    folder.close()
    folder.remove()
    assert folder.all_files() == {}


@pytest.mark.parametrize("url", ["ssh://host/a", "file:///a", "reference::s3://a", "s3://a::b"])
def test_urls_of_anything_but_an_object_store_are_refused(url: str) -> None:
    for refused in (CacheSettings, Folder):
        with pytest.raises(ValueError, match="cache must be a path or a URL of s3, gs, "):
            refused(url)


def test_a_path_is_a_path_even_if_it_looks_like_a_chain(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Folder("reference::kd.shards").write("x", b"1")
    assert (tmp_path / "reference::kd.shards" / "x").read_bytes() == b"1"
