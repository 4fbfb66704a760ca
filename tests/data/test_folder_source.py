import os
import socket
from pathlib import Path

import numpy as np
import pytest

from distill.data.sources import open_source, open_unlabelled
from tests.fixtures.sources import folder, pixels, png

FILES = {f"{name}/{number}.png": png(number) for name in ("ant", "bee") for number in range(2)}


def test_links_to_class_folders_and_to_images_are_read(tmp_path: Path) -> None:
    real, linked = folder(tmp_path / "real", FILES), tmp_path / "linked"
    (linked / "bee").mkdir(parents=True)
    (linked / "ant").symlink_to(real / "ant")
    (linked / "bee/7.png").symlink_to("../../real/bee/1.png")
    source = open_source(str(linked))
    assert source.classes == ("ant", "bee")
    assert source.targets.tolist() == [0, 0, 1]
    assert np.array_equal(np.asarray(source.image(2)), pixels(1))
    stamp = source.stamp()
    (real / "bee/1.png").write_bytes(png(5) + b" ")
    assert source.stamp() != stamp
    (tmp_path / "pool").symlink_to(real)
    assert len(open_unlabelled(str(tmp_path / "pool")).targets) == 4


@pytest.mark.parametrize("name", ["bee/2.png", "cat", "bee/old"])
@pytest.mark.parametrize("opened", [open_source, open_unlabelled])
def test_a_link_that_leads_nowhere_is_named(tmp_path: Path, name: str, opened: object) -> None:
    path = folder(tmp_path / "set", FILES)
    (path / name).symlink_to("../gone")
    with pytest.raises(ValueError, match=rf"^{path}/{name} is a link to \.\./gone, which is not"):
        opened(str(path))


@pytest.mark.parametrize(
    ("target", "told"),
    [
        (".", "{} is a link to a folder that it is in"),
        ("..", "{} is a link to a folder that it is in"),
        ("loop", "cannot follow {}: Too many levels of symbolic links"),
    ],
)
def test_a_link_that_leads_in_a_circle_is_named(tmp_path: Path, target: str, told: str) -> None:
    path = folder(tmp_path / "set", FILES)
    (path / "bee/loop").symlink_to(target)
    with pytest.raises(ValueError, match=f"^{told.format(f'{path}/bee/loop')}$"):
        open_source(str(path))


def test_what_a_system_left_is_not_looked_into(tmp_path: Path) -> None:
    path = folder(tmp_path / "set", FILES | {"__MACOSX/x": b""})
    (path / "__MACOSX/ant").symlink_to("gone")
    with pytest.warns(UserWarning, match=r"left out 1 folder without images \(__MACOSX\)$"):
        assert open_source(str(path)).classes == ("ant", "bee")


@pytest.mark.parametrize("opened", [open_source, open_unlabelled])
def test_a_pipe_or_a_socket_with_an_images_name_is_refused_at_once(
    tmp_path: Path, opened: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = folder(tmp_path / "set", FILES)
    os.mkfifo(path / "bee/without-an-ending")
    assert len(opened(str(path)).targets) == 4
    os.mkfifo(path / "bee/2.jpg")
    with pytest.raises(ValueError, match=rf"^{path}/bee/2\.jpg is a pipe, not a file$"):
        opened(str(path))
    (path / "bee/2.jpg").unlink()
    monkeypatch.chdir(path)  # a socket's path must be short
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("bee/2.jpg")
        with pytest.raises(ValueError, match=rf"^{path}/bee/2\.jpg is a device or a socket, not"):
            opened(str(path))


def test_an_image_is_known_by_its_content_where_its_name_has_no_ending(tmp_path: Path) -> None:
    files = {"ant/1": png(0), "ant/2.001": png(1), "ant/README": b"text", "bee/3.JFIF": png(2)}
    source = open_source(str(folder(tmp_path, files)))
    assert [Path(source.name(i)).name for i in range(3)] == ["1", "2.001", "3.JFIF"]


@pytest.mark.parametrize("ending", ["jfif", "jpe", "gif", "avif", "apng", "pbm", "pnm", "TIFF"])
def test_files_of_all_these_endings_are_images(tmp_path: Path, ending: str) -> None:
    assert len(open_unlabelled(str(folder(tmp_path, {f"1.{ending}": png(0)}))).targets) == 1


def test_files_of_other_endings_are_counted_in_one_line(tmp_path: Path) -> None:
    others = dict.fromkeys(["ant/x.HEIC", "ant/y.heic", "bee/z.xcf", "n.txt", ".h.heic"], b"?")
    path = folder(tmp_path, FILES | others)
    for opened in (open_source, open_unlabelled):
        with pytest.warns(UserWarning, match=rf"^{path}: left out 2 \.heic, 1 \.xcf$") as caught:
            assert len(opened(str(path)).targets) == 4
        assert len(caught) == 1


def test_a_folder_that_may_not_be_read_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = folder(tmp_path / "set", FILES)
    listed = os.scandir

    def refuses(place: Path) -> object:
        if Path(place).name == "bee":
            raise PermissionError(13, "Permission denied")
        return listed(place)

    monkeypatch.setattr(os, "scandir", refuses)
    with pytest.raises(ValueError, match=rf"^cannot read folder {path}/bee: Permission denied$"):
        open_source(str(path))


def test_an_image_that_is_gone_since_is_named(tmp_path: Path) -> None:
    path = folder(tmp_path, FILES)
    source = open_source(str(path))
    (path / "bee/1.png").unlink()
    with pytest.raises(ValueError, match=rf"^cannot read image {path}/bee/1\.png: No such file"):
        source.image(3)
