import os
import re
import tarfile
from pathlib import Path

import pytest

from distill.data.datasets import load_table
from distill.data.folders import class_of_each
from distill.data.sources import open_source
from tests.fixtures.sources import folder, png, tar

TREES = {
    "classes": (["ant/1.png", "bee/1.png", "bee/2.png"], ["ant", "bee"]),
    "deeper folders": (["ant/1.png", "ant/old/1.png", "bee/x/y/1.png"], ["ant", "bee"]),
    "equal names below": (["ant/big/1.png", "bee/big/1.png"], ["ant", "bee"]),
    "a wrapping folder": (["train/ant/1.png", "train/bee/1.png"], ["ant", "bee"]),
    "two wrapping folders": (["a/b/ant/1.png", "a/b/bee/x/1.png"], ["ant", "bee"]),
    "a wrapped class": (["train/ant/1.png", "train/readme.md"], ["ant"]),
    "two top folders": (["old/ant/1.png", "new/bee/1.png"], ["new", "old"]),
    "a class called train": (["train/1.png", "tram/1.png"], ["train", "tram"]),
    "images in a lone folder": (["ant/1.png", "ant/old/1.png"], ["ant"]),
    "images beside": (["cover.png", "ant/1.png", "bee/1.png"], ["ant", "bee"]),
    "a hidden folder": (["ant/1.png", "bee/1.png", ".git/1.png"], ["ant", "bee"]),
    "hidden files": (["ant/1.png", "bee/1.png", "bee/._1.png"], ["ant", "bee"]),
    "other files": (["ant/1.png", "bee/1.png", "notes.txt", "bee/notes.txt"], ["ant", "bee"]),
}
LEFT_OUT = {
    "without images": (["ant/1.png", "bee/1.png", "cat/notes.txt"], ["ant", "bee"], "cat"),
    "empty": (["ant/1.png", "bee/1.png", "cat/"], ["ant", "bee"], "cat"),
    "empty and wrapped": (["t/ant/1.png", "t/bee/1.png", "t/cat/"], ["ant", "bee"], "t/cat"),
    "empty below": (["ant/1.png", "bee/1.png", "cat/x/y/"], ["ant", "bee"], "cat"),
    "empty beside": (["t/ant/1.png", "t/bee/1.png", "notes/"], ["ant", "bee"], "notes"),
    "empty splits": (["train/ant/1.png", "train/bee/1.png", "val/"], ["ant", "bee"], "val"),
    "hidden images": (["ant/1.png", "bee/1.png", "cat/.1.png"], ["ant", "bee"], "cat"),
    "of a Mac": (
        ["t/ant/1.png", "t/bee/1.png", "__MACOSX/t/ant/1.png"],
        ["ant", "bee"],
        "__MACOSX",
    ),
    "of a store": (["ant/1.png", "bee/1.png", "@eaDir/1.png/x.jpg"], ["ant", "bee"], "@eaDir"),
}
REFUSED = {
    "all beside": (["1.png"], "no class folders with images in {path}"),
    "no images": (["ant/notes.txt", "bee/"], "no class folders with images in {path}"),
    "one class and images of others": (
        ["x/1.png", "x/ant/1.png", "x/bee/1.png"],
        "{top}x holds images beside folders of images (ant, bee): move them for these folders to"
        " be the classes",
    ),
    "one class below images": (
        ["1.png", "x/ant/1.png", "x/bee/1.png"],
        "{path} holds images beside folders of images (x/ant, x/bee): move them for these folders"
        " to be the classes",
    ),
    "splits": (
        ["val/ant/1.png", "train/ant/1.png"],
        "{path} holds the splits train, val, not classes: {give}train",
    ),
    "wrapped splits": (
        ["x/Test/1.png", "x/train2017/1.png"],
        "{top}x holds the splits train2017, Test, not classes: {give}x/train2017",
    ),
}


def written(place: Path, kind: str, names: list[str]) -> tuple[Path, str]:
    """A tree as a folder or a tar, and what stands before the names in it."""
    if kind == "folder":
        path = folder(place / "set", {name: png(0) for name in names if name[-1] != "/"})
        for name in names:
            if name[-1] == "/":
                (path / name).mkdir(parents=True)
        return path, f"{path}/"
    top = "./" if kind == "tar of ." else ""
    path = tar(place / "set.tar", {f"{top}{name}": png(0) for name in names if name[-1] != "/"})
    with tarfile.open(path, "a:") as archive:
        for name in [name for name in names if name[-1] == "/"]:
            member = tarfile.TarInfo(f"{top}{name}")
            member.type = tarfile.DIRTYPE
            archive.addfile(member)
    return path, f"{path}:"


KINDS = pytest.mark.parametrize("kind", ["folder", "tar", "tar of ."])


@KINDS
@pytest.mark.parametrize(("names", "classes"), TREES.values(), ids=TREES.keys())
def test_a_tree_has_the_same_classes_however_it_is_kept(
    tmp_path: Path, kind: str, names: list[str], classes: list[str]
) -> None:
    path, _ = written(tmp_path, kind, names)
    source = open_source(str(path))
    assert source.classes == tuple(classes)
    images = [source.name(index) for index in range(len(source.targets))]
    for image, target in zip(images, source.targets.tolist(), strict=True):
        assert f"{classes[target]}/" in image
    assert len(images) == sum(
        name.endswith(("/1.png", "/2.png")) and name[0] != "." for name in names
    )


@KINDS
@pytest.mark.parametrize(("names", "classes", "empty"), LEFT_OUT.values(), ids=LEFT_OUT.keys())
def test_folders_without_images_are_left_out_in_one_line(
    tmp_path: Path, kind: str, names: list[str], classes: list[str], empty: str
) -> None:
    path, _ = written(tmp_path, kind, names)
    told = rf"^{re.escape(str(path))}: left out 1 folder without images \({empty}\)$"
    with pytest.warns(UserWarning, match=told) as caught:
        source = open_source(str(path))
    assert source.classes == tuple(classes)
    assert len(source.targets) == 2
    assert len(caught) == 1


@KINDS
@pytest.mark.parametrize(("names", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_a_tree_without_clear_classes_is_refused_however_it_is_kept(
    tmp_path: Path, kind: str, names: list[str], message: str
) -> None:
    path, top = written(tmp_path, kind, names)
    give = f"give {path}/" if kind == "folder" else "unpack it and give "
    told = message.format(path=path, top=top, give=give)
    with pytest.raises(ValueError, match=f"^{re.escape(told)}$"):
        open_source(str(path))


@KINDS
def test_accents_are_the_same_however_a_system_writes_them(tmp_path: Path, kind: str) -> None:
    composed, apart = "caf\u00e9", "cafe\u0301"
    path, _ = written(tmp_path, kind, [f"{composed}/1.png", f"{apart}/2.png", "ant/1.png"])
    source = open_source(str(path))
    assert source.classes == ("ant", composed)
    assert sorted(source.targets.tolist()) == [0, 1, 1]


@KINDS
def test_names_that_are_not_utf_8_are_read_and_told_of(tmp_path: Path, kind: str) -> None:
    odd = os.fsdecode(b"caf\xe9")
    path, _ = written(tmp_path, kind, [f"{odd}/1.png", "ant/1.png"])
    source = open_source(str(path))
    assert source.classes == ("ant", "caf\\udce9")
    assert source.name(1).encode().endswith(rb"caf\udce9/1.png")
    assert source.image(1).size == (5, 4)
    assert load_table(str(path), "data", True, None, 3)[0].shape == (2, 3, 4, 5)


def test_the_order_of_images_does_not_matter() -> None:
    names = ["a/b/cat/1.png", "a/b/ant/2.png", "a/b/ant/1.png"]
    assert class_of_each(names, "") == ["cat", "ant", "ant"]
    assert class_of_each(names[::-1], "") == ["ant", "ant", "cat"]
