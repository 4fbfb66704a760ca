import io
import random
import tarfile
from pathlib import Path

import numpy as np
import pytest

from distill.data.sources import open_source, open_unlabelled
from tests.fixtures.sources import pixels, png, tar

FILES = {f"{name}/{number}.png": png(number) for name in ("ant", "bee") for number in range(3)}


def with_links(path: Path, kind: bytes, links: dict[str, str]) -> Path:
    with tarfile.open(path, "a:") as archive:
        for name, target in links.items():
            link = tarfile.TarInfo(name)
            link.type, link.linkname = kind, target
            archive.addfile(link)
    return path


def test_hidden_and_other_files_are_left_out(tmp_path: Path) -> None:
    others = {"bee/._1.png": b"?", "notes.txt": b"", ".git/1.png": b"?"}
    source = open_source(str(tar(tmp_path / "x.tar", FILES | others)))
    assert [source.name(i).rpartition(":")[2] for i in range(6)] == sorted(FILES)
    assert source.targets.tolist() == [0, 0, 0, 1, 1, 1]


def test_symbolic_links_are_left_out_and_counted(tmp_path: Path) -> None:
    links = {"ant/8.png": "../bee/1.png", "ant/9.png": "../bee/2.png"}
    path = with_links(tar(tmp_path / "x.tar", FILES), tarfile.SYMTYPE, links)
    with pytest.warns(UserWarning, match=rf"^{path}: left out 2 links$"):
        assert len(open_source(str(path)).targets) == 6
    alone = with_links(path, tarfile.SYMTYPE, {"cat/1.png": "../bee/1.png"})
    with pytest.warns(UserWarning, match=r"left out 3 links, 1 folder without images \(cat\)$"):
        assert open_source(str(alone)).classes == ("ant", "bee")
    with pytest.warns(UserWarning, match=r"left out 3 links$"):
        assert len(open_unlabelled(str(alone)).targets) == 6


def test_a_hard_link_is_the_image_that_it_names(tmp_path: Path) -> None:
    path = with_links(tar(tmp_path / "x.tar", FILES), tarfile.LNKTYPE, {"cat/1.png": "bee/2.png"})
    source = open_source(str(path))
    assert source.classes == ("ant", "bee", "cat")
    assert np.array_equal(np.asarray(source.image(6)), pixels(2))


def as_read(path: Path) -> list[tuple[str, int, bytes]] | None:
    """What comes of a tar, or None where it is refused by name in one line."""
    try:
        source = open_source(str(path))
        return [
            (source.name(i), int(target), np.asarray(source.image(i)).tobytes())
            for i, target in enumerate(source.targets)
        ]
    except ValueError as error:
        line = str(error)
    assert str(path) in line
    assert "\n" not in line
    return None


FORMATS = {"ustar": tarfile.USTAR_FORMAT, "gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}


def written(path: Path, kind: str) -> bytes:
    with tarfile.open(path, "w:", format=FORMATS[kind]) as archive:
        for name, data in FILES.items():
            member = tarfile.TarInfo(name)
            member.size, member.mtime = len(data), 12345.5 if kind == "pax" else 12345
            archive.addfile(member, io.BytesIO(data))
    return path.read_bytes()


@pytest.mark.parametrize("kind", FORMATS)
def test_no_flip_in_a_header_loses_an_image(tmp_path: Path, kind: str) -> None:
    path, draw = tmp_path / "x.tar", random.Random(kind)  # noqa: S311
    whole = written(path, kind)
    right = as_read(path)
    with tarfile.open(path) as archive:
        headers = [member.offset_data - 512 for member in archive.getmembers()]
    refused = 0
    for _ in range(100):
        data, place = bytearray(whole), draw.choice(headers) + draw.randrange(512)
        data[place] ^= 1 << draw.randrange(8)
        path.write_bytes(data)
        seen = as_read(path)
        assert seen in (None, right)  # one in a hundred is of a byte that nothing depends on
        refused += seen is None
    assert refused > 90


@pytest.mark.parametrize("kind", FORMATS)
def test_no_cut_loses_an_image(tmp_path: Path, kind: str) -> None:
    path, draw = tmp_path / "x.tar", random.Random(kind)  # noqa: S311
    whole = written(path, kind)
    right = as_read(path)
    end = len(whole.rstrip(b"\0"))
    cuts = [*range(0, len(whole), 512), *(draw.randrange(len(whole)) for _ in range(60))]
    for cut in cuts:
        path.write_bytes(whole[:cut])
        seen = as_read(path)
        assert seen in (None, right)
        assert seen is None or cut > end + 512  # only zeros are gone


def test_zeros_within_and_a_second_tar_behind_it_are_refused(tmp_path: Path) -> None:
    path = tar(tmp_path / "x.tar", FILES)
    whole = path.read_bytes()
    with tarfile.open(path) as archive:
        third = archive.getmembers()[2].offset
    for data in (whole + whole, whole[:third] + bytes(1024) + whole[third + 1024 :]):
        path.write_bytes(data)
        with pytest.raises(ValueError, match=rf"^damaged tar: {path} \(more data follow its end"):
            open_source(str(path))
    path.write_bytes(whole + bytes(3 * 2**20))
    assert len(open_source(str(path)).targets) == 6


def test_a_bad_header_and_a_cut_are_told_by_what_comes_before(tmp_path: Path) -> None:
    path = tar(tmp_path / "x.tar", FILES)
    whole = path.read_bytes()
    with tarfile.open(path) as archive:
        third = archive.getmembers()[2].offset
    path.write_bytes(whole[:third] + b"x" + whole[third + 1 :])
    told = rf"\(a bad header after ant/1\.png, at byte {third}\)$"
    with pytest.raises(ValueError, match=told):
        open_source(str(path))
    path.write_bytes(whole[:third])
    with pytest.raises(ValueError, match=rf"\(it is cut off after ant/1\.png, at byte {third}\)$"):
        open_source(str(path))


def test_two_blocks_of_zeros_end_a_tar(tmp_path: Path) -> None:
    path = tar(tmp_path / "x.tar", FILES)
    whole = path.read_bytes()
    end = max(index for index in range(0, len(whole), 512) if any(whole[index : index + 512])) + 512
    for blocks in (0, 1):
        path.write_bytes(whole[: end + 512 * blocks])
        with pytest.raises(ValueError, match="it is cut off after bee/2"):
            open_source(str(path))
    path.write_bytes(whole[: end + 1024])
    assert len(open_source(str(path)).targets) == 6


def sharded(folder: Path, kind: str = "train") -> Path:
    """The images of ``FILES`` in three tars of two; no tar holds all classes."""
    folder.mkdir(exist_ok=True)
    names = sorted(FILES)
    for number in range(3):
        part = {name: FILES[name] for name in names[2 * number :][:2]}
        tar(folder / f"{kind}-{number:05}.tar", {"readme.json": b"{}"} | part)
    return folder


def test_tars_of_a_folder_or_a_pattern_are_one_source(tmp_path: Path) -> None:
    folder = sharded(tmp_path / "shards")
    for spec in (folder, f"{folder}/train-*.tar"):
        source = open_source(str(spec))
        assert source.classes == ("ant", "bee")
        assert source.targets.tolist() == [0, 0, 0, 1, 1, 1]
        for place in (4, 0, 5, 2):
            assert np.array_equal(np.asarray(source.image(place)), pixels(place % 3))
        assert source.name(5) == f"{folder}/train-00002.tar:bee/2.png"
        assert len(open_unlabelled(str(spec)).targets) == 6
    before = source.stamp()
    tar(folder / "train-00002.tar", {"bee/1.png": png(7), "bee/2.png": png(2)})
    assert open_source(str(folder)).stamp() != before


def test_pairs_may_lie_in_several_tars(tmp_path: Path) -> None:
    for number, label in enumerate(("10", "9", "9")):
        pair = {f"{number:06}.png": png(number), f"{number:06}.cls": label.encode()}
        tar(tmp_path / f"{number}.tar", pair)
    source = open_source(f"{tmp_path}/*.tar")
    assert source.classes == ("9", "10")
    assert source.targets.tolist() == [1, 0, 0]


def test_an_image_of_two_tars_is_refused_by_name(tmp_path: Path) -> None:
    folder = sharded(tmp_path / "shards")
    tar(folder / "train-00003.tar", {"ant/1.png": png(5)})
    told = rf"^{folder}: train-00000\.tar and train-00003\.tar both hold ant/1\.png: rename one$"
    with pytest.raises(ValueError, match=told):
        open_source(str(folder))


def test_a_damaged_tar_of_several_is_named(tmp_path: Path) -> None:
    path = sharded(tmp_path / "shards") / "train-00001.tar"
    path.write_bytes(path.read_bytes()[:700])
    with pytest.raises(ValueError, match=rf"^damaged tar: {path} "):
        open_source(str(path.parent))


def test_tars_of_several_splits_are_refused_with_a_pattern(tmp_path: Path) -> None:
    sharded(sharded(tmp_path / "shards"), "test")
    told = rf"holds the splits test, train: give one, such as '{tmp_path}/shards/train\*\.tar'"
    with pytest.raises(ValueError, match=told):
        open_source(str(tmp_path / "shards"))
    (tmp_path / "shards" / "train.parquet").touch()
    with pytest.raises(ValueError, match=r"a pattern is for parquet files or tars only, .* has tr"):
        open_source(f"{tmp_path}/shards/t*")


def test_headers_are_not_held_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The library keeps one and a half kilobytes for each member."""
    held, read = [], tarfile.TarFile.next

    def watched(archive: tarfile.TarFile) -> tarfile.TarInfo | None:
        held.append(len(archive.members))
        return read(archive)

    monkeypatch.setattr(tarfile.TarFile, "next", watched)
    open_source(str(sharded(tmp_path / "shards")))
    assert max(held) <= 1
