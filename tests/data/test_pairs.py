import json
from pathlib import Path

import numpy as np
import pytest

from distill.data.sources import Columns, open_source, open_unlabelled
from tests.fixtures.sources import pixels, png, tar, zipped

KINDS = pytest.mark.parametrize("write", [tar, zipped])
LABELS = ["10", "9", "2", "10"]


def pairs(ending: str, labels: list[bytes], top: str = "") -> dict[str, bytes]:
    files = {}
    for number, label in enumerate(labels):
        files[f"{top}{number:04d}.png"] = png(number)
        files[f"{top}{number:04d}.{ending}"] = label
    return files


@KINDS
@pytest.mark.parametrize("top", ["", "train/", "./"])
@pytest.mark.parametrize("ending", ["cls", "json"])
def test_labels_are_read_from_beside_the_images(
    tmp_path: Path, write: object, ending: str, top: str
) -> None:
    texts = [label if ending == "cls" else f'{{"label": {label}, "x": 1}}' for label in LABELS]
    files = pairs(ending, [f"{text}\n".encode() for text in texts], top)
    path = write(tmp_path / "x.tar", files)
    source = open_source(str(path))
    assert source.classes == ("2", "9", "10")
    assert source.targets.tolist() == [2, 1, 0, 2]
    for number in range(4):
        assert np.array_equal(np.asarray(source.image(number)), pixels(number))
    assert len(open_unlabelled(str(path)).targets) == 4


@KINDS
def test_a_key_ends_at_the_first_dot(tmp_path: Path, write: object) -> None:
    files = {"v1.0/a.left.png": png(0), "v1.0/a.right.png": png(1), "v1.0/a.cls": b"ant"}
    files |= {"v1.0/b.png": png(2), "v1.0/b.cls": b"bee"}
    source = open_source(str(write(tmp_path / "x.tar", files)))
    assert source.classes == ("ant", "bee")
    assert source.targets.tolist() == [0, 0, 1]


@KINDS
def test_a_field_of_another_name_can_be_given(tmp_path: Path, write: object) -> None:
    labels = [json.dumps({"kind": name}).encode() for name in "abab"]
    path = str(write(tmp_path / "x.tar", pairs("json", labels)))
    assert open_source(path, columns=Columns(label="kind")).targets.tolist() == [0, 1, 0, 1]
    told = r"x\.tar:0000\.json has no field label or .*: set data\.label_column$"
    with pytest.raises(ValueError, match=told):
        open_source(path)


@KINDS
def test_notes_in_class_folders_are_no_labels(tmp_path: Path, write: object) -> None:
    files = pairs("json", [b"{}"] * 2, "ant/") | pairs("json", [b"{}"] * 2, "bee/")
    assert open_source(str(write(tmp_path / "x.tar", files))).classes == ("ant", "bee")


@KINDS
@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"0001.cls": None}, r"0001\.png has no 0001\.cls beside it"),
        ({"0001.cls": b""}, r"0001\.cls has no label"),
        ({"0001.cls": b"-1"}, r"0001\.cls has the label -1"),
        ({"0001.cls": b"\xff"}, r"cannot read .*0001\.cls"),
    ],
)
def test_an_image_without_a_label_is_named(
    tmp_path: Path, write: object, changed: dict[str, bytes | None], told: str
) -> None:
    files = pairs("cls", [b"0", b"1", b"0", b"1"]) | changed
    path = write(
        tmp_path / "x.tar", {name: data for name, data in files.items() if data is not None}
    )
    with pytest.raises(ValueError, match=told):
        open_source(str(path))


@KINDS
@pytest.mark.parametrize(
    ("label", "told"),
    [
        (b'{"label": [1, 2]}', r"needs one class for its label, it has list \[1, 2\]"),
        (b'{"label": null}', "has no label"),
        (b"[1]", "has no field"),
        (b"{", "cannot read"),
    ],
)
def test_notes_without_one_label_are_named(
    tmp_path: Path, write: object, label: bytes, told: str
) -> None:
    path = write(tmp_path / "x.tar", pairs("json", [b'{"label": 1}', label]))
    with pytest.raises(ValueError, match=rf"0001\.json.*{told}|{told}.*0001\.json"):
        open_source(str(path))
