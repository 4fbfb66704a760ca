from pathlib import Path

import numpy as np
import pytest

from distill.data.sources import Columns, open_source, open_unlabelled
from tests.fixtures.sources import folder, pixels, png

IMAGES = {f"images/{number}.png": png(number) for number in range(3)}


def table(tmp_path: Path, text: str, name: str = "labels.csv") -> str:
    folder(tmp_path, IMAGES)
    (tmp_path / name).write_text(text)
    return str(tmp_path / name)


@pytest.mark.parametrize(("path", "label"), [("path", "label"), ("filename", "target")])
@pytest.mark.parametrize("comma", [",", "\t", ", "])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_paths_are_relative_to_the_table(
    tmp_path: Path, path: str, label: str, comma: str, mark: str
) -> None:
    rows = [(path, "id", label), ("images/2.png", "7", "bee"), ("images/0.png", "8", "ant")]
    text = mark + "".join(f"{comma.join(row)}\n" for row in rows)
    spec = table(tmp_path, text, "t.tsv" if comma == "\t" else "t.CSV")
    source = open_source(spec)
    assert source.classes == ("ant", "bee")
    assert source.targets.tolist() == [1, 0]
    assert np.array_equal(np.asarray(source.image(0)), pixels(2))
    assert source.name(1) == f"{tmp_path}/images/0.png"
    assert len(open_unlabelled(spec).targets) == 2
    stamp = source.stamp()
    (tmp_path / "images/0.png").write_bytes(png(1) + b" ")
    assert source.stamp() != stamp


def test_whole_numbers_are_in_their_order(tmp_path: Path) -> None:
    rows = "".join(f"images/{n}.png,{label}\n" for n, label in enumerate((10, 9, 2)))
    assert open_source(table(tmp_path, f"path,label\n{rows}")).classes == ("2", "9", "10")


def test_columns_of_other_names_can_be_given(tmp_path: Path) -> None:
    spec = table(tmp_path, "where,label,kind\nimages/0.png,x,a\nimages/1.png,x,b\n")
    source = open_source(spec, columns=Columns("where", "kind"))
    assert source.classes == ("a", "b")
    told = (
        r"labels\.csv needs a column path or .*, it has where, label, kind: set data\.image_column"
    )
    with pytest.raises(ValueError, match=told):
        open_source(spec)
    with pytest.raises(ValueError, match=r"needs a column z, .*: set data\.label_column"):
        open_source(spec, columns=Columns("where", "z"))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "needs a column path or .*, it has "),
        ("path,label\n", "no class folders with images|no images"),
        ("path,label\nimages/0.png,a\nimages/9.png,b\n", "line 3 names .*/images/9.png, which is"),
        ("path,label\nimages,a\n", "line 2 names .*/images, which is no file"),
        ("path,label\nimages/0.png,a\nimages/1.png\n", "line 3 has no label"),
        ("path,label\nimages/0.png,a\n,b\n", "line 3 names .*, which is no file"),
        ("path,label\nimages/0.png,-1\n", "line 2 has the label -1"),
        ("path,label\n\0,a\n", "which is no file|cannot read"),
    ],
)
def test_a_table_that_does_not_fit_is_named_with_its_line(
    tmp_path: Path, text: str, told: str
) -> None:
    with pytest.raises(ValueError, match=told) as caught:
        open_source(table(tmp_path, text))
    assert f"{tmp_path}/labels.csv" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_table_that_is_no_text_is_named(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(b"path,label\n\xff\xfe,a\n")
    with pytest.raises(ValueError, match=rf"^cannot read {path}: "):
        open_source(str(path))
