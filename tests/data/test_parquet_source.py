import io
import json
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
import torch
from PIL import Image

from distill.core.errors import UnreadableImage
from distill.data.concat_source import ConcatSource
from distill.data.datasets import BatchKey, LazyImages
from distill.data.sources import Columns, open_source, open_unlabelled
from tests.fixtures.sources import parquet, pixels, png


@pytest.mark.parametrize(("image", "label"), [("image", "target"), ("img", "label")])
def test_parquet_columns_may_be_called_either_way(tmp_path: Path, image: str, label: str) -> None:
    structs = [{"bytes": png(0), "path": "x"}, {"bytes": png(1), "path": None}]
    source = open_source(str(parquet(tmp_path / "x.parquet", {image: structs, label: ["b", "a"]})))
    assert source.targets.tolist() == [1, 0]
    assert np.array_equal(np.asarray(source.image(1)), pixels(1))


def test_numeric_labels_are_in_the_order_of_numbers(tmp_path: Path) -> None:
    columns = {"image": [png(0)] * 4, "label": [10, 9, 2, 10]}
    source = open_source(str(parquet(tmp_path / "x.parquet", columns)))
    assert source.classes == ("2", "9", "10")
    assert source.targets.tolist() == [2, 1, 0, 2]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"picture": [b""], "label": [0]}, "named image or img, it has picture, label"),
        ({"image": [b""], "kind": [0]}, "named label or .* or class, it has image, kind: set data"),
        ({"image": [], "label": []}, "no class folders with images"),
    ],
)
def test_an_unfit_parquet_file_is_refused(tmp_path: Path, columns: dict, message: str) -> None:
    path = parquet(tmp_path / "x.parquet", columns)
    with pytest.raises(ValueError, match=message) as caught:
        open_source(str(path))
    assert str(path) in str(caught.value)


def test_parquet_without_pyarrow_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = parquet(tmp_path / "x.parquet", {"image": [png(0)], "label": [0]})
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(ValueError, match=r"needs pyarrow: pip install 'distill\[parquet\]'"):
        open_source(str(path))


def hub(path: Path, columns: dict[str, list], features: dict[str, object]) -> Path:
    """A file as the large hub writes it: what the columns are stands in the schema's metadata."""
    about = json.dumps({"info": {"features": features}})
    table = pa.table(columns).replace_schema_metadata({"huggingface": about})
    pyarrow.parquet.write_table(table, path)
    return path


STRUCTS = [{"bytes": png(number), "path": None} for number in range(4)]
NAMES = {"names": ["zebra", "ant", "bee"], "_type": "ClassLabel"}
IMAGE = {"_type": "Image"}


def test_class_names_and_their_order_are_those_of_the_files_metadata(tmp_path: Path) -> None:
    columns = {"img": STRUCTS, "fine_label": [1, 0, 1, 0], "coarse_label": [0, 1, 0, 1]}
    features = {"img": IMAGE, "fine_label": NAMES, "coarse_label": NAMES}
    source = open_source(str(hub(tmp_path / "x.parquet", columns, features)))
    assert source.classes == ("zebra", "ant", "bee")
    assert source.targets.tolist() == [1, 0, 1, 0]


def test_the_only_image_and_the_only_label_are_found_by_the_metadata(tmp_path: Path) -> None:
    columns = {"id": [7, 8, 9, 10], "photo": STRUCTS, "animal": [2, 2, 0, 1]}
    path = hub(tmp_path / "x.parquet", columns, {"photo": IMAGE, "animal": NAMES, "id": {}})
    source = open_source(str(path))
    assert source.targets.tolist() == [2, 2, 0, 1]
    assert np.array_equal(np.asarray(source.image(3)), pixels(3))
    assert len(open_unlabelled(str(path)).targets) == 4


def test_of_two_labels_of_other_names_none_is_guessed(tmp_path: Path) -> None:
    columns = {"image": STRUCTS, "animal": [2, 2, 0, 1], "home": [1, 2, 0, 1]}
    path = hub(tmp_path / "x.parquet", columns, {"animal": NAMES, "home": NAMES})
    with pytest.raises(ValueError, match=r"it has image, animal, home: set data\.label_column$"):
        open_source(str(path))
    assert open_source(str(path), columns=Columns(label="home")).targets.tolist() == [1, 2, 0, 1]


def test_names_that_do_not_tell_classes_apart_are_not_used(tmp_path: Path) -> None:
    names = {"names": ["ant", "ant", "bee"], "_type": "ClassLabel"}
    path = hub(tmp_path / "x.parquet", {"image": STRUCTS, "label": [2, 1, 0, 1]}, {"label": names})
    assert open_source(str(path)).classes == ("0", "1", "2")


def test_columns_of_other_names_can_be_given(tmp_path: Path) -> None:
    columns = {"image": STRUCTS[::-1], "label": [0, 1, 2, 3], "x": STRUCTS, "y": list("abab")}
    path = str(parquet(tmp_path / "x.parquet", columns))
    source = open_source(path, columns=Columns("x", "y"))
    assert source.classes == ("a", "b")
    assert np.array_equal(np.asarray(source.image(0)), pixels(0))
    assert source.stamp() != open_source(path).stamp()
    with pytest.raises(ValueError, match=r"named z, it has image, .*: set data\.image_column"):
        open_source(path, columns=Columns("z", "y"))
    with pytest.raises(ValueError, match=r"named z, it has image, .*: set data\.label_column"):
        open_source(path, columns=Columns("x", "z"))


@pytest.mark.parametrize("features", [[], {"image": 3, "label": "x"}, {"label": {"names": 3}}])
def test_metadata_of_another_kind_are_passed_over(tmp_path: Path, features: object) -> None:
    columns = {"image": STRUCTS, "label": [1, 0, 1, 0]}
    assert open_source(str(hub(tmp_path / "x.parquet", columns, features))).classes == ("0", "1")


HIDDEN = "row 2 has the label -1, as hidden ones do"
ROWS = {
    "null": (pa.array([0, 1, None, 1]), "row 2 has no label: leave such images out"),
    "all null": (pa.array([None] * 4, pa.int64()), "row 0 has no label"),
    "no number": (pa.array([0.0, 1.0, float("nan"), 1.0]), "row 2 has no label"),
    "no text": (pa.array(["a", "b", "", "b"]), "row 2 has no label"),
    "hidden": (pa.array([0, 1, -1, 1]), HIDDEN),
    "hidden text": (pa.array(["0", "1", "-1", "1"]), HIDDEN),
    "lists": (pa.array([[0, 2], [1]] * 2), r"row 0 needs one class .* it has list \[0, 2\]"),
    "a fraction": (pa.array([0.0, 0.5, 0.0, 1.0]), r"row 1 needs one class .* float 0\.5"),
}


@pytest.mark.parametrize(("labels", "told"), ROWS.values(), ids=ROWS.keys())
def test_a_row_without_one_label_is_named(tmp_path: Path, labels: pa.Array, told: str) -> None:
    path = parquet(tmp_path / "x.parquet", {"image": STRUCTS, "label": labels})
    with pytest.raises(ValueError, match=rf"^{path}: {told}"):
        open_source(str(path))
    assert len(open_unlabelled(str(path)).targets) == 4


def test_a_label_beyond_the_named_classes_is_refused(tmp_path: Path) -> None:
    columns = {"image": STRUCTS, "label": [1, 0, 3, 0]}
    path = hub(tmp_path / "x.parquet", columns, {"label": NAMES})
    with pytest.raises(ValueError, match=f"^{path}: row 2 has the label 3, but .* 3 classes$"):
        open_source(str(path))


def test_whole_numbers_with_a_point_are_numbers(tmp_path: Path) -> None:
    path = parquet(tmp_path / "x.parquet", {"image": STRUCTS, "label": [10.0, 9.0, 9.0, 10.0]})
    assert open_source(str(path)).classes == ("9", "10")


PATHS = [{"bytes": None, "path": "3.png"}] * 2
NO_IMAGES = {
    "a path alone": ([*STRUCTS[:2], *PATHS], "row 2 holds no image, only the path 3.png"),
    "nothing": ([*STRUCTS[:3], None], "row 3 holds no image"),
    "no bytes": ([png(0), None, png(1), None], "row 1 holds no image"),
    "lists": ([[1, 2, 3]] * 4, "column image needs bytes of image files, row 0 has list<"),
    "names": (["a.png"] * 4, "column image needs bytes of image files, row 0 has string"),
}


@pytest.mark.parametrize(("images", "told"), NO_IMAGES.values(), ids=NO_IMAGES.keys())
@pytest.mark.parametrize("opened", [open_source, open_unlabelled])
def test_a_row_without_an_image_is_named(
    tmp_path: Path, images: list, told: str, opened: object
) -> None:
    path = parquet(tmp_path / "x.parquet", {"image": images, "label": [0, 1, 0, 1]})
    with pytest.raises(ValueError, match=f"^{path}: {told}"):
        opened(str(path))


def shards(folder: Path, names: list[str]) -> Path:
    """Files of two rows each."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(names):
        columns = {"image": STRUCTS[2 * number :][:2], "label": [number, 10]}
        parquet(folder / f"{name}.parquet", columns)
    return folder


@pytest.mark.parametrize("inside", ["", "data"])
def test_shards_of_a_folder_are_one_source_in_order(tmp_path: Path, inside: str) -> None:
    folder = shards(tmp_path / inside, ["train-00000-of-00002", "train-00001-of-00002"])
    for spec in (tmp_path, f"{folder}/train-*.parquet"):
        source = open_source(str(spec))
        assert source.classes == ("0", "1", "10")
        assert source.targets.tolist() == [0, 2, 1, 2]
        for number in range(4):
            assert np.array_equal(np.asarray(source.image(number)), pixels(number))
        assert source.name(3) == f"{folder}/train-00001-of-00002.parquet: row 1"
        assert len(open_unlabelled(str(spec)).targets) == 4


def test_a_folder_of_several_splits_is_refused_with_a_pattern(tmp_path: Path) -> None:
    shards(tmp_path, ["train-0", "test-0"])
    told = f"^{tmp_path} holds the splits test, train: give one, such as '{tmp_path}/train"
    with pytest.raises(ValueError, match=told):
        open_source(str(tmp_path))
    assert len(open_source(f"{tmp_path}/train*.parquet").targets) == 2


def test_a_pattern_is_for_parquet_files(tmp_path: Path) -> None:
    shards(tmp_path, ["a"])
    (tmp_path / "a.txt").touch()
    with pytest.raises(ValueError, match=r"a pattern is for parquet files or tars only, .* a\.txt"):
        open_source(f"{tmp_path}/a*")
    with pytest.raises(ValueError, match="no such file or folder"):
        open_source(f"{tmp_path}/b*.parquet")


def test_rows_are_read_in_any_order_before_and_after_they_are_laid_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two files, one of several groups of rows; in the second run from the file of the first."""
    monkeypatch.setattr("distill.data.rows_file.FOLDER", tmp_path / "cache")
    for name, numbers in (("a", range(50)), ("b", range(50, 60))):
        columns = {
            "image": [{"bytes": png(n), "path": None} for n in numbers],
            "label": [0, 1] * 25,
        }
        columns["label"] = columns["label"][: len(numbers)]
        pyarrow.parquet.write_table(pa.table(columns), tmp_path / f"{name}.parquet", 20)
    order = np.random.default_rng(0).permutation(60).tolist()
    source = open_source(str(tmp_path))
    for laid_out in (False, True):
        for number in [*order, *range(60)]:
            assert np.array_equal(np.asarray(source.image(number)), pixels(number)), laid_out
        source.lay_out()
    (rows,) = (tmp_path / "cache").iterdir()
    before, again = rows.stat(), open_source(str(tmp_path))
    again.lay_out()
    assert rows.stat() == before
    rows.write_bytes(b"x" + rows.read_bytes()[1:])
    with pytest.raises(
        UnreadableImage, match=r"a\.parquet: row 0: it is damaged in .*: remove that"
    ):
        again.image(0)
    rows.write_bytes(rows.read_bytes()[:-1])
    again.lay_out()
    assert np.array_equal(np.asarray(again.image(0)), pixels(0))


def test_no_file_is_held_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of 32 MB in one group of rows is opened, read and laid out page by page."""
    monkeypatch.setattr("distill.data.rows_file.FOLDER", tmp_path / "cache")
    monkeypatch.setattr("distill.data.parquet_source.decode", lambda data, name: len(data))
    draw = np.random.default_rng(0)
    images = [draw.bytes(2**16) for _ in range(500)]
    path, table = tmp_path / "x.parquet", pa.table({"image": images, "label": [0, 1] * 250})
    pyarrow.parquet.write_table(table, path, use_dictionary=["label"], write_batch_size=16)
    del images, table
    before, most = pa.total_allocated_bytes(), 0
    source = open_source(str(path))
    for number in range(500):
        assert source.image(number) == 2**16
        most = max(most, pa.total_allocated_bytes() - before)
    assert 0 < most < 4 * 2**20
    source.lay_out()
    assert source.image(499) == 2**16
    assert pa.total_allocated_bytes() - before < 4 * 2**20


def test_images_that_are_not_in_memory_are_laid_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of two files, one after the other."""
    monkeypatch.setattr("distill.data.rows_file.FOLDER", tmp_path / "cache")
    sources = []
    for number in range(2):
        columns = {"image": STRUCTS[2 * number :][:2], "label": [0, 1]}
        sources.append(open_source(str(parquet(tmp_path / f"{number}.parquet", columns))))
    both = ConcatSource(sources[0], sources[1], torch.tensor([0, 1, 0, 1]))
    batch = LazyImages(both, torch.arange(4), 4, 3)[BatchKey(0, torch.tensor([3, 0]))]
    assert len(list((tmp_path / "cache").iterdir())) == 2
    assert batch.image.shape == (2, 3, 4, 4)


def test_a_full_disk_is_told_before_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = parquet(tmp_path / "x.parquet", {"image": STRUCTS, "label": [0, 1, 0, 1]})
    (tmp_path / "cache").touch()
    monkeypatch.setattr("distill.data.rows_file.FOLDER", tmp_path / "cache" / "in a file")
    with pytest.raises(ValueError, match=rf"^{path} cannot be laid out in any order: "):
        open_source(str(path)).lay_out()


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    path = parquet(tmp_path / "x.parquet", {"image": STRUCTS, "label": [0, 1, 0, 1]})
    whole = path.read_bytes()
    for damaged in (whole[:-9], whole[:40], b"", b"PAR1" + whole[300:]):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=f"^damaged parquet file: {path}") as caught:
            open_source(str(path))
        assert "\n" not in str(caught.value)


def test_images_of_any_format_are_turned_upright(tmp_path: Path) -> None:
    notes, buffer = Image.Exif(), io.BytesIO()
    notes[0x0112] = 6
    Image.fromarray(pixels(0)).save(buffer, "PNG", exif=notes)
    path = parquet(tmp_path / "x.parquet", {"image": [buffer.getvalue()] * 2, "label": [0, 1]})
    turned = np.rot90(pixels(0), -1)
    assert np.array_equal(np.asarray(open_source(str(path)).image(1)), turned)
