import re
import tarfile
from pathlib import Path

import pytest

from distill.data.folders import class_of_each
from distill.data.sources import open_source
from tests.data.test_sources import folder, png, tar

TREES = {
    "classes": (["ant/1.png", "bee/1.png", "bee/2.png"], ["ant", "bee"]),
    "deeper folders": (["ant/1.png", "ant/old/1.png", "bee/x/y/1.png"], ["ant", "bee"]),
    "equal names below": (["ant/big/1.png", "bee/big/1.png"], ["ant", "bee"]),
    "a wrapping folder": (["train/ant/1.png", "train/bee/1.png"], ["ant", "bee"]),
    "two wrapping folders": (["a/b/ant/1.png", "a/b/bee/x/1.png"], ["ant", "bee"]),
    "a wrapped class": (["train/ant/1.png", "train/readme.md"], ["ant"]),
    "two top folders": (["train/ant/1.png", "test/bee/1.png"], ["test", "train"]),
    "images in a lone folder": (["ant/1.png", "ant/old/1.png"], ["ant"]),
    "images beside": (["cover.png", "ant/1.png", "bee/1.png"], ["ant", "bee"]),
    "a hidden folder": (["ant/1.png", "bee/1.png", ".git/1.png"], ["ant", "bee"]),
    "hidden files": (["ant/1.png", "bee/1.png", "bee/._1.png"], ["ant", "bee"]),
    "other files": (["ant/1.png", "bee/1.png", "notes.txt", "bee/notes.txt"], ["ant", "bee"]),
}
REFUSED = {
    "without images": (["ant/1.png", "bee/notes.txt"], "class folder without images: {top}bee"),
    "empty": (["ant/1.png", "bee/"], "class folder without images: {top}bee"),
    "empty and wrapped": (["t/ant/1.png", "t/bee/"], "class folder without images: {top}t/bee"),
    "empty below": (["ant/1.png", "bee/x/y/"], "class folder without images: {top}bee"),
    "empty beside": (["t/ant/1.png", "notes/"], "class folder without images: {top}notes"),
    "hidden images": (["ant/1.png", "bee/.1.png"], "class folder without images: {top}bee"),
    "all beside": (["1.png"], "no class folders with images in {path}"),
    "no images": (["ant/notes.txt", "bee/"], "no class folders with images in {path}"),
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
@pytest.mark.parametrize(("names", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_a_class_without_images_is_refused_however_it_is_kept(
    tmp_path: Path, kind: str, names: list[str], message: str
) -> None:
    path, top = written(tmp_path, kind, names)
    with pytest.raises(ValueError, match=f"^{re.escape(message.format(path=path, top=top))}$"):
        open_source(str(path))


def test_the_order_of_images_does_not_matter() -> None:
    names = ["a/b/cat/1.png", "a/b/ant/2.png", "a/b/ant/1.png"]
    assert class_of_each(names, [], "") == ["cat", "ant", "ant"]
    assert class_of_each(names[::-1], ["a", "a/b"], "") == ["ant", "ant", "cat"]
