"""VOC folders: edges that count from 1, difficult objects, parts of objects."""

from pathlib import Path

from PIL import Image

from distill.data.formats import voc
from tests.fixtures.annotated import pictures, write_voc


def written(folder: Path, objects: str, size: str = "") -> Path:
    (folder / "Annotations").mkdir()
    (folder / "JPEGImages").mkdir()
    tag = 0x0112
    image, notes = Image.new("RGB", (40, 30)), Image.Exif()
    notes[tag] = 6
    image.save(folder / "JPEGImages" / "a.JPG", "JPEG", exif=notes)
    text = f"<annotation>{size}{objects}</annotation>"
    (folder / "Annotations" / "a.xml").write_text(text)
    return folder


BOX = "<bndbox><xmin>1</xmin><ymin>2.5</ymin><xmax>10</xmax><ymax>20</ymax></bndbox>"


def test_edges_count_from_one_and_parts_are_not_read(tmp_path: Path) -> None:
    part = f"<part><name>head</name>{BOX}</part>"
    path = written(tmp_path, f"<object><name> cat </name>{part}{BOX}</object>")
    found = voc.read(path)
    assert found.classes == ("cat",)
    assert found.items[0].boxes == (((0.0, 1.5, 10.0, 20.0), 0, False),)


def test_an_image_is_upright_unless_its_size_says_otherwise(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    thing = f"<object><name>cat</name>{BOX}</object>"
    assert voc.read(written(tmp_path / "one", thing)).items[0].size == (30, 40)
    size = "<size><width>40</width><height>30</height></size>"
    assert voc.read(written(tmp_path / "two", thing, size)).items[0].size == (40, 30)


def test_a_list_names_some_of_the_images(tmp_path: Path) -> None:
    folder = write_voc(tmp_path, pictures(4))
    names = folder / "ImageSets" / "Main" / "train.txt"
    names.parent.mkdir(parents=True)
    names.write_text("image2 1\n\nimage0  -1\n")
    found = voc.read(names)
    assert [item.path.stem for item in found.items] == ["image2", "image0"]
    assert found.by_occurrence
