"""Bad annotations end with exit code 2, in a line that names file and entry."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from distill.cli import main
from distill.data import Annotated
from distill.recipes import load
from tests.fixtures.annotated import (
    CLASSES,
    pictures,
    write_coco,
    write_masks,
    write_voc,
    write_yolo,
)

Edit = Callable[[Any], object]
Refused = Callable[[Path, str], str]
RECIPE = """\
model:
  teacher: null
  student: {{class_path: students.{student}, init_args: {{backbone: resnet8, num_classes: {k}}}}}
  losses:
    one: {{loss: {loss}}}
data:
  class_path: distill.data.Annotated
  init_args: {{train: {train}, val: {train}, image_size: 32, labels: {labels}, batch_size: 4}}
trainer: {{max_epochs: 1, accelerator: cpu}}
"""
BOXES = (
    "distill.losses.SigmoidFocalLoss, inputs: "
    "{input: student.classes, target: assigned.classes, count: assigned.count}"
)
MASKS = (
    "torch.nn.CrossEntropyLoss, inputs: "
    '{input: "student.logits[known]", target: "batch.mask[known]"}'
)


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A set in each format."""
    folder, given = tmp_path_factory.mktemp("sets"), pictures(4)
    writers = {"coco": write_coco, "voc": write_voc, "yolo": write_yolo, "masks": write_masks}
    for name, write in writers.items():
        write(folder / name, given)
    return folder


def recipe_of(path: Path, labels: str) -> str:
    """A recipe for a set of boxes or masks."""
    masks = labels == "masks"
    student, loss, k = ("segmenter", MASKS, 4) if masks else ("detector", BOXES, 3)
    text = RECIPE.format(train=path, labels=labels, student=student, loss=loss, k=k)
    if path.is_dir() and masks:
        text = text.replace("labels: masks", f"classes: [ground, {', '.join(CLASSES)}]")
    return text


def by_command(recipe: Path, run_dir: Path, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """What `distill fit` writes to stderr."""
    code = main(["fit", str(recipe), "--run_dir", str(run_dir)])
    message = capsys.readouterr().err
    assert code == 2, message
    assert not run_dir.exists()
    return message.splitlines()


def by_data(recipe: Path) -> list[str]:
    """What the datamodule raises as the command opens it and looks at its first images."""
    data = Annotated(**load(recipe)["data"]["init_args"])
    try:
        data.setup("fit")
        data.example(4)
    except ValueError as error:
        return str(error).splitlines()
    return []


@pytest.fixture(params=["data", pytest.param("command", marks=pytest.mark.slow)])
def refused(
    request: pytest.FixtureRequest, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> Refused:
    """The only line on a set of boxes or masks."""

    def line(path: Path, labels: str) -> str:
        recipe = tmp_path / "recipe.yaml"
        recipe.write_text(recipe_of(path, labels))
        whole = request.param == "command"
        lines = by_command(recipe, tmp_path / "run", capsys) if whole else by_data(recipe)
        assert len(lines) == 1, lines
        return lines[0]

    return line


def first(key: str, **change: Any) -> Edit:
    return lambda tree: tree[key][0].update(change)


def polygon(outline: object) -> Edit:
    return first("annotations", segmentation=outline)


# What is changed in the file, and what the message must hold beside its name.
COCO: dict[str, tuple[Edit, str]] = {
    "no categories": (lambda tree: tree.pop("categories"), "needs a list of categories"),
    "no images": (lambda tree: tree.update(images=[]), "no images"),
    "annotations as a map": (
        lambda tree: tree.update(annotations={}),
        "needs a list of annotations",
    ),
    "annotation as a list": (
        lambda tree: tree["annotations"].insert(1, []),
        "annotations[1] is not an object",
    ),
    "unknown image": (first("annotations", image_id=99), "annotations[0]: no image has the id 99"),
    "list as image": (first("annotations", image_id=[0]), "annotations[0]: no image has"),
    "unknown category": (
        first("annotations", category_id=4),
        "annotations[0]: no category has the id 4",
    ),
    "no box": (first("annotations", bbox=None), "annotations[0]: bbox: needs 4 finite numbers"),
    "three numbers": (first("annotations", bbox=[1, 2, 3]), "annotations[0]: bbox: needs 4"),
    "text in a box": (first("annotations", bbox=[1, 2, 3, "4"]), "annotations[0]: bbox: needs 4"),
    "box that is not finite": (
        first("annotations", bbox=[1, 2, 3, float("nan")]),
        "annotations[0]: bbox: needs 4 finite",
    ),
    "huge box": (first("annotations", bbox=[1, 2, 3, 10**400]), "annotations[0]: bbox: needs 4"),
    "negative width": (
        first("annotations", bbox=[1, 2, -3, 4]),
        "annotations[0]: bbox has a width of -3",
    ),
    "crowd that is no flag": (first("annotations", iscrowd=2), "annotations[0]: iscrowd must be"),
    "image id as text": (first("images", id="0"), "images[0]: id must be a whole number"),
    "image id twice": (first("images", id=1), "images[1]: the id 1 is taken already"),
    "image without a name": (first("images", file_name=""), "image 0: needs a file_name"),
    "image without a size": (first("images", width=None), "image 0: width and height: needs 2"),
    "image that is missing": (first("images", file_name="b.png"), "no image"),
    "image outside": (first("images", file_name="../a.png"), "leaves the folder"),
    "category twice": (
        first("categories", name="cat"),
        "categories need names of their own, got bird, cat, cat",
    ),
    "another size": (first("images", width=999), "its annotations say 999 x"),
}
SHAPES: dict[str, tuple[Edit, str]] = {
    "no shape": (polygon(None), "annotations[0]: segmentation: needs polygons or a run-length"),
    "two points": (polygon([[1, 2, 3, 4]]), "annotations[0]: segmentation: a polygon needs 3"),
    "odd numbers": (polygon([[1, 2, 3, 4, 5, 6, 7]]), "annotations[0]: segmentation: a polygon"),
    "text in a shape": (polygon([[1, 2, 3, 4, 5, "6"]]), "annotations[0]: segmentation: needs 6"),
    "code of another size": (
        polygon({"size": [1, 1], "counts": [1]}),
        "annotations[0]: segmentation: its size is [1, 1]",
    ),
}


@pytest.mark.parametrize(
    ("labels", "edit", "told"),
    [("boxes", *case) for case in COCO.values()] + [("masks", *case) for case in SHAPES.values()],
    ids=[*COCO, *SHAPES],
)
def test_bad_coco(labels: str, edit: Edit, told: str, sets: Path, refused: Refused) -> None:
    source = sets / "coco" / "boxes.json"
    tree = json.loads(source.read_text())
    edit(tree)
    path = source.with_name("changed.json")
    path.write_text(json.dumps(tree))
    line = refused(path, labels)
    assert told in line
    assert ("image0.png" if "its annotations" in told else str(path)) in line


def test_runs_of_a_code_cover_the_image(sets: Path, tmp_path: Path, refused: Refused) -> None:
    source = sets / "coco" / "boxes.json"
    tree = json.loads(source.read_text())
    path = source.with_name("changed.json")
    for counts in ([3, 4], [-1], "04", None):
        size = [tree["images"][0]["height"], tree["images"][0]["width"]]
        tree["annotations"][0]["segmentation"] = {"size": size, "counts": counts}
        path.write_text(json.dumps(tree))
        line = refused(path, "masks")
        assert "changed.json: annotations[0]: segmentation: its runs do not add up" in line


# The file that is changed, what it gets to hold (None: it is removed), and what must be told.
FILES: dict[str, tuple[str, str | bytes | None, str]] = {
    "coco: cut off": ("coco/boxes.json", '{"images": [', "boxes.json: not JSON"),
    "coco: nested": ("coco/boxes.json", "[" * 100_000, "boxes.json: not JSON"),
    "coco: bytes": ("coco/boxes.json", b"\xff\xfe\x00", "boxes.json: it is not UTF-8"),
    "coco: a list": ("coco/boxes.json", "[]", "boxes.json: needs a list of categories"),
    "coco: damaged image": ("coco/image1.png", b"\x89PNG\r\n\x1a\n", "image1.png"),
    "voc: no image": ("voc/JPEGImages/image1.png", None, "image1.xml: no image image1 in"),
    "voc: cut off": ("voc/Annotations/image1.xml", "<annotation><object>", "image1.xml: not XML"),
    "voc: entities": ("voc/Annotations/image1.xml", "<!DOCTYPE a>", "image1.xml: document types"),
    "voc: no name": (
        "voc/Annotations/image1.xml",
        "<annotation><object/></annotation>",
        "image1.xml: object 1: has no name",
    ),
    "voc: no edge": (
        "voc/Annotations/image1.xml",
        "<annotation><object><name>a</name></object></annotation>",
        "image1.xml: object 1: xmin must be a finite number, got ''",
    ),
    "voc: wrong order": (
        "voc/Annotations/image1.xml",
        "<a><object><name>a</name><bndbox><xmin>9</xmin><ymin>2</ymin><xmax>4</xmax>"
        "<ymax>4</ymax></bndbox></object></a>",
        "image1.xml: object 1: its edges are in the wrong order: 9, 2, 4, 4",
    ),
    "yolo: no names": ("yolo/data.yaml", "train: images/train", "data.yaml: names must be a list"),
    "yolo: holes": (
        "yolo/data.yaml",
        "names: {0: a, 2: b}\ntrain: images/train",
        "data.yaml: names must be numbered",
    ),
    "yolo: no part": ("yolo/data.yaml", "names: [a]", "data.yaml: train must be a folder"),
    "yolo: not YAML": ("yolo/data.yaml", "names: [a", "data.yaml:1: "),
    "yolo: no folder": ("yolo/data.yaml", "names: [a]\ntrain: elsewhere", "elsewhere"),
    "yolo: pixels": (
        "yolo/labels/train/image1.txt",
        "1 20 30 10 10\n",
        "image1.txt: line 1: needs shares in 0..1, not pixels, got 1 20 30 10 10",
    ),
    "yolo: class": (
        "yolo/labels/train/image1.txt",
        "1 .5 .5 .2 .2\n3 .5 .5 .2 .2\n",
        "image1.txt: line 2: the class must be in 0..2, got 3",
    ),
    "yolo: a number short": (
        "yolo/labels/train/image1.txt",
        "1 .5 .5 .2\n",
        "image1.txt: line 1: needs a class and 4 numbers",
    ),
    "yolo: text": (
        "yolo/labels/train/image1.txt",
        "cat .5 .5 .2 .2\n",
        "image1.txt: line 1: needs finite numbers, got cat .5",
    ),
    "masks: none": ("masks/masks/image1.png", None, "images/image1.png: no mask"),
    "masks: damaged": ("masks/masks/image1.png", b"x", "masks/image1.png: damaged"),
}
PLACES = {"coco": "coco/boxes.json", "voc": "voc", "yolo": "yolo/data.yaml", "masks": "masks"}


@pytest.mark.parametrize("case", FILES.values(), ids=FILES.keys())
def test_bad_files(
    case: tuple[str, str | bytes | None, str], sets: Path, tmp_path: Path, refused: Refused
) -> None:
    name, content, told = case
    shutil.copytree(sets, tmp_path / "sets")
    path = tmp_path / "sets" / name
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    kind = name.split("/")[0]
    labels = "masks" if kind == "masks" else "boxes"
    assert told in refused(tmp_path / "sets" / PLACES[kind], labels)


@pytest.mark.parametrize(
    ("mask", "told"),
    [
        (Image.new("RGB", (9, 9)), "image1.png is in colours (RGB): needs one number per pixel"),
        (Image.fromarray(np.full((9, 9), 4, np.uint8)), "image1.png: the value 4 is none of 4"),
        (Image.new("L", (9, 9)), "image1.png 9 x 9"),
    ],
    ids=["colours", "unknown class", "another size"],
)
def test_bad_masks(
    mask: Image.Image, told: str, sets: Path, tmp_path: Path, refused: Refused
) -> None:
    shutil.copytree(sets / "masks", tmp_path / "masks")
    mask.save(tmp_path / "masks" / "masks" / "image1.png")
    assert told in refused(tmp_path / "masks", "masks")


def test_a_place_without_annotations(sets: Path, tmp_path: Path, refused: Refused) -> None:
    assert "nothing lies at" in refused(sets / "nowhere", "boxes")
    assert "no boxes at" in refused(sets / "coco", "boxes")
    (tmp_path / "x.yaml").write_text("names: [a]")
    assert "no masks at" in refused(tmp_path / "x.yaml", "masks")


@pytest.mark.parametrize("labels", ["boxes", "masks"])
def test_the_command_tells_it_so(
    labels: str, sets: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A bad box is found as the data are opened, a bad mask as images are looked at."""
    shutil.copytree(sets, tmp_path / "sets")
    if labels == "masks":
        Image.new("RGB", (9, 9)).save(tmp_path / "sets" / "masks" / "masks" / "image1.png")
    else:
        (tmp_path / "sets" / "yolo" / "labels" / "train" / "image1.txt").write_text("7 .5 .5 .2 .2")
    place, told = {
        "boxes": ("yolo/data.yaml", "image1.txt: line 1: the class must be in 0..2, got 7"),
        "masks": ("masks", "masks/image1.png is in colours (RGB): needs one number per pixel"),
    }[labels]
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(recipe_of(tmp_path / "sets" / place, labels))
    (line,) = by_command(recipe, tmp_path / "run", capsys)
    assert told in line
