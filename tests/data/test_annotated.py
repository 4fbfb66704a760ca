"""Images of one's own: the same boxes from every format, in the pixels that are shown."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from distill.core.batch import Boxes
from distill.core.errors import UnreadableImage
from distill.data import Annotated
from distill.data.annotated_images import AnnotatedImages
from distill.data.formats import coco, voc
from distill.data.formats.items import Annotations
from distill.data.formats.yolo import read as read_yolo
from distill.tasks import Detection, Segmentation
from tests.fixtures.annotated import (
    CLASSES,
    Picture,
    pictures,
    save_image,
    write_coco,
    write_masks,
    write_voc,
    write_yolo,
)


def ready(train: Path, val: Any = None, stage: str = "fit", **options: Any) -> Annotated:
    given = {"image_size": 48, "batch_size": 2} | options
    data = Annotated(str(train), str(train) if val is None else val, **given)
    data.setup(stage)
    return data


def boxes_of(data: Annotated, n: int = 8) -> Boxes:
    found = data.example(n).boxes
    assert found is not None
    return found


def pictures_of(found: Annotations) -> list[Picture]:
    images = []
    for item in found.items:
        assert item.size is not None
        boxes = [(box.xyxy, box.label, box.ignored) for box in item.boxes]
        images.append(Picture(item.path.stem, item.size, boxes))
    return images


def test_from_coco_to_voc_to_yolo_to_coco(tmp_path: Path) -> None:
    """YOLO has no place for what is ignored: such boxes are compared before it."""
    given = pictures(12, seed=3)
    first = coco.read(write_coco(tmp_path / "coco", given))
    second = voc.read(write_voc(tmp_path / "voc", pictures_of(first)))
    assert sorted(pictures_of(second)) == sorted(given)
    third = read_yolo(write_yolo(tmp_path / "yolo", pictures_of(second)), "train")
    fourth = coco.read(write_coco(tmp_path / "again", pictures_of(third)))
    assert first.classes == second.classes == third.classes == fourth.classes == CLASSES
    left = {one.name: one for one in pictures_of(fourth)}
    assert set(left) == {one.name for one in given}
    for one in given:
        kept, wanted = left[one.name], [box for box in one.boxes if not box[2]]
        assert kept.size == one.size
        assert [box[1] for box in kept.boxes] == [box[1] for box in wanted]
        assert not any(box[2] for box in kept.boxes)
        for got, expected in zip(kept.boxes, wanted, strict=True):
            assert np.abs(np.subtract(got[0], expected[0])).max() < 0.5


@pytest.mark.parametrize("size", [(80, 30), (30, 80), (50, 50)])
def test_boxes_and_masks_lie_where_the_objects_are_shown(
    size: tuple[int, int], tmp_path: Path
) -> None:
    """An object is white; what is shown of it must fill its box and its mask."""
    box = (8.0, 10.0, 24.0, 26.0)
    path = write_coco(tmp_path, [Picture("a", size, [(box, 1, False)])])
    image = ready(path).example(1).image[0, 1]
    left, top, right, bottom = boxes_of(ready(path)).xyxy[0].round().int().tolist()
    inner = image[top + 1 : bottom - 1, left + 1 : right - 1]
    assert inner.numel() > 30
    assert inner.min() > 200
    outside = image.clone()
    outside[max(top - 1, 0) : bottom + 1, max(left - 1, 0) : right + 1] = 0
    assert outside.max() <= 20
    mask = ready(path, labels="masks").example(1).mask
    assert mask is not None
    assert (image[mask[0] == 2] > 100).float().mean() > 0.9
    assert (image[mask[0] == 0] < 120).all()
    assert (image[mask[0] == 255] == 0).all()
    assert (mask == 255).any() == (size[0] != size[1])


def test_masks_of_files_and_of_shapes_agree(tmp_path: Path) -> None:
    given = pictures(4)
    found = [
        ready(write_coco(tmp_path / "coco", given), labels="masks").example(4).mask,
        ready(write_masks(tmp_path / "masks", given), classes=("ground", *CLASSES)).example(4).mask,
    ]
    assert found[0] is not None
    assert found[1] is not None
    differ = (found[0] != found[1]).float().mean()  # overlapping objects are painted by size
    assert differ < 0.05
    assert set(found[0].unique().tolist()) == {0, 1, 2, 3, 255}


def test_tasks_and_classes(tmp_path: Path) -> None:
    given = pictures(4)
    path = write_coco(tmp_path / "coco", given)
    boxes, masks = ready(path), ready(path, labels="masks")
    assert isinstance(boxes.task, Detection)
    assert isinstance(masks.task, Segmentation)
    assert boxes.classes == CLASSES
    assert masks.classes == ("ground", *CLASSES)
    ordered = ready(path, classes=["dog", "bird", "cat"])
    there = torch.tensor([1, 2, 0])
    assert torch.equal(boxes_of(ordered).label, there[boxes_of(boxes).label])
    files = write_masks(tmp_path / "masks", given)
    assert isinstance(ready(files, classes=("ground", *CLASSES)).task, Segmentation)
    with pytest.raises(ValueError, match="has 3 classes, needed are 2; not in both: cat, dog, emu"):
        ready(path, classes=["bird", "emu"])


def test_a_voc_set_with_fewer_classes_has_those_of_training(tmp_path: Path) -> None:
    train = write_voc(tmp_path / "train", pictures(4))
    one = Picture("a", (50, 50), [((8.0, 10.0, 24.0, 26.0), 2, False)])
    test = write_voc(tmp_path / "test", [one])
    data = ready(train, test=str(test), stage="test")
    assert data.classes == CLASSES
    assert boxes_of(data).label.tolist() == [2]
    with pytest.raises(ValueError, match=r"train has 3 classes, needed are 1; not in both"):
        ready(train, classes=["dog"])


def test_a_share_for_validation_is_split_off(tmp_path: Path) -> None:
    data = ready(write_coco(tmp_path, pictures(10)), val=0.3)
    assert data.sizes() == {"train": 7, "val": 3}
    train, val = data.pipeline.train, data.pipeline.val
    assert train is not None
    assert val is not None
    assert sorted([*train.ids.tolist(), *val.ids.tolist()]) == list(range(10))


def test_a_photograph_is_turned_as_its_annotations_see_it(tmp_path: Path) -> None:
    path = write_coco(tmp_path, [Picture("a", (60, 40), [((0.0, 0.0, 20.0, 10.0), 0, False)])])
    with Image.open(tmp_path / "a.png") as image:
        notes = Image.Exif()
        notes[0x0112] = 6
        stored = np.asarray(image)
        image.save(tmp_path / "a.png", exif=notes)
    lying = ready(path).example(1).image[0]
    assert lying[0, :, :16].float().mean() > lying[0, :, 32:].float().mean()
    tree = json.loads(path.read_text())
    tree["images"][0] |= {"width": 40, "height": 60}
    path.write_text(json.dumps(tree))
    upright = ready(path).example(1).image[0]
    assert not torch.equal(lying, upright)
    assert (upright[:, :, :8] == 0).all()
    assert stored.shape == (40, 60, 3)
    tree["images"][0] |= {"width": 41, "height": 60}
    path.write_text(json.dumps(tree))
    with pytest.raises(UnreadableImage, match=r"a\.png is 40 x 60 .* its annotations say 41 x 60"):
        ready(path).example(1)


def test_what_is_left_out_is_told(tmp_path: Path) -> None:
    path = write_coco(tmp_path, pictures(3))
    tree = json.loads(path.read_text())
    tree["annotations"][0]["bbox"][2] = 0
    path.write_text(json.dumps(tree))
    with pytest.warns(UserWarning, match=r"boxes\.json: 1 box without area is left out$"):
        ready(path)


def test_a_set_without_boxes_is_refused(tmp_path: Path) -> None:
    train = write_coco(tmp_path / "train", pictures(3))
    ignored = Picture("a", (50, 50), [((8.0, 10.0, 24.0, 26.0), 2, True)])
    val = write_coco(tmp_path / "val", [ignored])
    with pytest.raises(ValueError, match=r"val/boxes\.json: no box in the 1 images for val$"):
        ready(train, str(val))


def test_the_digest_and_the_longest_box(tmp_path: Path) -> None:
    path = write_coco(tmp_path, [Picture("a", (96, 40), [((0.0, 0.0, 50.0, 10.0), 0, False)])])
    data = ready(path)
    assert data.largest_box() == 25
    samples = ready(path).pipeline.train
    assert isinstance(samples, AnnotatedImages)
    same, larger = ready(path).pipeline.train, ready(path, image_size=50).pipeline.train
    assert same is not None
    assert larger is not None
    assert same.digest() == samples.digest() != larger.digest()
    text = path.read_text()
    path.write_text(text.replace("50.0", "49.0"))
    changed = ready(path).pipeline.train
    assert changed is not None
    assert changed.digest() != samples.digest()


def test_masks_have_room_for_255_classes(tmp_path: Path) -> None:
    path = write_masks(tmp_path, pictures(3))
    names = [f"c{number}" for number in range(256)]
    assert len(ready(path, classes=names[:255]).classes) == 255
    with pytest.raises(ValueError, match=r"masks have at most 255 classes, got 256$"):
        ready(path, classes=names)


def test_greyscale_images_for_one_channel(tmp_path: Path) -> None:
    path = write_coco(tmp_path, pictures(3))
    assert ready(path, mean=[0.5], std=[0.2]).example(2).image.shape == (2, 1, 48, 48)


def test_a_thin_image_is_told(tmp_path: Path) -> None:
    thin = Picture("a", (500, 2), [((0.0, 0.0, 50.0, 2.0), 0, False)])
    save_image(thin, tmp_path / "a.png")
    with pytest.raises(UnreadableImage, match=r"a\.png is 500 x 2 pixels, nothing of it is left"):
        ready(write_coco(tmp_path, [thin])).example(1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"labels": "lines"}, "^labels must be auto, boxes or masks, got 'lines'$"),
        ({"image_size": 0}, "^image_size must be at least 1, got 0$"),
        ({"val": 1.5}, "^val must be a source or a share between 0 and 1, got 1.5$"),
        ({"mean": [0.5]}, "^mean and std must have 1 or 3 channels"),
    ],
)
def test_wrong_arguments_are_told(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Annotated(**({"train": "x.json", "image_size": 48} | options))
