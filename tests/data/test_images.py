import io
import traceback
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
import torch
from PIL import Image
from torch import nn

from distill.core.batch import Batch
from distill.core.errors import UnreadableImage
from distill.data import Images
from distill.data.datasets import load_table
from tests.fixtures.images import folder, picture


@pytest.fixture(autouse=True)
def _nothing_cached() -> Iterator[None]:
    load_table.cache_clear()
    yield
    load_table.cache_clear()


class Negative(nn.Module):
    def forward(self, batch: Batch, key: int) -> Batch:
        return replace(batch, image=255 - batch.image)


def ready(train: str, **arguments: object) -> Images:
    images = Images(train, batch_size=4, **arguments)
    images.setup("fit")
    return images


def by_number(images: Images, loader: str) -> dict[int, tuple[np.ndarray, int]]:
    rows = {}
    for batch in getattr(images, f"{loader}_dataloader")():
        for image, target, index in zip(batch.image, batch.target, batch.index, strict=True):
            rows[int(index)] = (image.numpy().transpose(1, 2, 0), int(target))
    return rows


def test_a_share_of_the_training_images_is_split_off_by_key(tmp_path: Path) -> None:
    images = ready(folder(tmp_path), val=0.2)
    assert images.classes == ("a", "b", "c")
    train, val = images.pipeline.train.ids.tolist(), images.pipeline.val.ids.tolist()
    assert len(val) == 6
    assert sorted(train + val) == list(range(30))
    for number, (image, target) in by_number(images, "val").items():
        assert np.array_equal(image, picture(number))
        assert target == number // 10
    for number, (image, target) in by_number(images, "train").items():
        assert np.array_equal(image, picture(number))
        assert target == number // 10


def test_the_split_does_not_depend_on_the_seed(tmp_path: Path) -> None:
    train = folder(tmp_path)
    sets = [ready(train, val=0.2, train_samples=9).pipeline]
    sets.append(ready(train, val=0.2, train_samples=9, seed=5).pipeline)
    assert len(sets[0].train.ids) == 9
    assert sets[0].train.ids.tolist() == sets[1].train.ids.tolist()
    assert sets[0].val.ids.tolist() == sets[1].val.ids.tolist()


def test_validation_and_test_images_may_be_sources_of_their_own(tmp_path: Path) -> None:
    train = folder(tmp_path / "train")
    val = folder(tmp_path / "val", each=2, first=50)
    test = folder(tmp_path / "test", each=3, first=90)
    images = ready(train, val=val, test=test, train_samples=8)
    assert len(images.pipeline.train.ids) == 8
    for name, first, each in (("val", 50, 2), ("test", 90, 3)):
        rows = by_number(images, name)
        assert sorted(rows) == list(range(3 * each))
        for number, (image, target) in rows.items():
            assert np.array_equal(image, picture(first + number))
            assert target == number // each


def test_decoding_on_demand_gives_the_same_sets(tmp_path: Path) -> None:
    train = folder(tmp_path)
    table = ready(train, val=0.2).pipeline
    images = ready(train, val=0.2, in_memory=False, image_size=14, resize="crop")
    assert images.pipeline.train.ids.tolist() == table.train.ids.tolist()
    assert images.pipeline.val.ids.tolist() == table.val.ids.tolist()
    for number, (image, _) in by_number(images, "val").items():
        assert np.array_equal(image, picture(number)[1:15, 1:15])


def test_views_decoded_on_demand_follow_the_runs_seed(tmp_path: Path) -> None:
    train = folder(tmp_path)
    views = [
        ready(train, in_memory=False, image_size=14, resize="crop", seed=seed).example(8).image
        for seed in (1, 1, 2)
    ]
    assert torch.equal(views[0], views[1])
    assert not torch.equal(views[0], views[2])


def test_images_are_resized_where_a_size_is_given(tmp_path: Path) -> None:
    example = ready(folder(tmp_path), image_size=8).example(1)
    expected = Image.fromarray(picture(int(example.index))).resize(
        (8, 8), Image.Resampling.BILINEAR
    )
    assert np.array_equal(example.image[0].numpy().transpose(1, 2, 0), np.asarray(expected))


def test_one_channel_of_mean_means_greyscale(tmp_path: Path) -> None:
    images = ready(folder(tmp_path), mean=[0.5], std=[0.25])
    assert (images.mean, images.std) == ((0.5,), (0.25,))
    example = images.example(1)
    expected = Image.fromarray(picture(int(example.index))).convert("L")
    assert np.array_equal(example.image[0, 0].numpy(), np.asarray(expected))


def test_setting_up_again_keeps_the_training_set(tmp_path: Path) -> None:
    images = ready(folder(tmp_path))
    train = images.pipeline.train
    images.setup("fit")
    assert images.pipeline.train is train


def test_a_test_needs_no_training_images(tmp_path: Path) -> None:
    images = Images(str(tmp_path / "gone"), test=folder(tmp_path / "test"))
    images.setup("test")
    assert sorted(by_number(images, "test")) == list(range(30))
    assert images.example(2).index.tolist() == [0, 1]


@pytest.mark.parametrize("training", [True, False, None])
def test_only_training_batches_are_augmented(training: bool | None) -> None:
    images = Images("nowhere", augment=[Negative()])
    images.trainer = None if training is None else SimpleNamespace(training=training)
    image = torch.tensor([[[[200]]]], dtype=torch.uint8)
    batch = Batch(image, torch.tensor([0]), torch.tensor([0]), 0)
    assert images.on_after_batch_transfer(batch, 0).image.item() == (55 if training else 200)


@pytest.mark.parametrize("val", [0, 0.0, 1.0, -0.5, 1.5])
def test_a_share_outside_zero_to_one_is_refused(val: float) -> None:
    with pytest.raises(ValueError, match=f"a source or a share between 0 and 1, got {val}"):
        Images("nowhere", val=val)


@pytest.mark.parametrize("in_memory", [True, False])
def test_a_share_of_less_than_one_image_is_refused(tmp_path: Path, in_memory: bool) -> None:
    train = folder(tmp_path, each=2)
    with pytest.raises(ValueError, match=r"^data\.val must give .* it gives 0 of 6$"):
        ready(train, val=0.05, in_memory=in_memory, image_size=16)


def shapes(path: Path) -> str:
    """Pictures of different shapes."""
    for number, size in enumerate([(30, 20), (20, 30), (16, 16), (9, 40), (40, 9), (14, 14)] * 3):
        own = path / "abc"[number % 3]
        own.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture(number)).resize(size).save(own / f"{number}.png")
    return str(path)


@pytest.mark.parametrize("resize", ["squash", "crop", "letterbox"])
def test_keeping_images_in_memory_changes_no_pixel(tmp_path: Path, resize: str) -> None:
    """In training, and in evaluation: bitwise the same batches, in the same order."""
    train = shapes(tmp_path / "set")
    sets = [
        ready(train, val=0.3, test=train, image_size=14, resize=resize, in_memory=in_memory)
        for in_memory in (True, False)
    ]
    for loader in ("train", "val", "test"):
        pairs = list(zip(*(getattr(each, f"{loader}_dataloader")() for each in sets), strict=True))
        assert pairs
        for kept, decoded in pairs:
            assert torch.equal(kept.image, decoded.image)
            assert torch.equal(kept.index, decoded.index)
            assert torch.equal(kept.target, decoded.target)


@pytest.mark.parametrize("in_memory", [True, False])
@pytest.mark.parametrize("resize", ["squash", "crop", "letterbox"])
def test_training_sees_other_pixels_than_evaluation_where_they_are_cropped_alone(
    tmp_path: Path, resize: str, in_memory: bool
) -> None:
    train = shapes(tmp_path / "set")
    images = ready(train, test=train, image_size=14, resize=resize, in_memory=in_memory, augment=[])
    seen, tested = by_number(images, "train"), by_number(images, "test")
    same = [np.array_equal(seen[number][0], tested[number][0]) for number in seen]
    assert not any(same) if resize == "crop" else all(same)
    assert images.pipeline.views().fixed == (resize != "crop")


def test_a_crop_needs_a_size() -> None:
    with pytest.raises(ValueError, match="image_size must be given where resize is crop"):
        Images("nowhere", resize="crop")


def test_decoding_on_demand_needs_a_size() -> None:
    with pytest.raises(ValueError, match="image_size must be given where in_memory is false"):
        Images("nowhere", in_memory=False)


@pytest.mark.parametrize(("mean", "std"), [([0.5], [0.2] * 3), ([0.5] * 2, [0.2] * 2), ([], [])])
def test_a_wrong_number_of_channels_is_refused(mean: list[float], std: list[float]) -> None:
    with pytest.raises(ValueError, match="mean and std must have 1 or 3 channels, got"):
        Images("nowhere", mean=mean, std=std)


@pytest.mark.parametrize("in_memory", [True, False])
@pytest.mark.parametrize("name", ["val", "test"])
def test_other_classes_in_another_source_are_refused(
    tmp_path: Path, name: str, in_memory: bool
) -> None:
    train, other = folder(tmp_path / "train"), folder(tmp_path / "other", classes="abd", each=1)
    with pytest.raises(ValueError, match=rf"{other} has 3 classes.* has 3; not in both: c, d"):
        ready(train, image_size=16, in_memory=in_memory, **{name: other})


def shade(number: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (16, 16), (number, number, number)).save(buffer, "PNG")
    return buffer.getvalue()


def tabled(path: Path, labels: list[int], name: str = "label") -> str:
    """A parquet file of images whose shades are their labels."""
    columns = {"image": [shade(label) for label in labels], name: labels}
    pyarrow.parquet.write_table(pa.table(columns), path)
    return str(path)


def shades(path: Path, n: int) -> str:
    """Numbered class folders of images whose shades are these numbers."""
    for number in range(n):
        (path / str(number)).mkdir(parents=True)
        (path / f"{number}/0.png").write_bytes(shade(number))
    return str(path)


@pytest.mark.parametrize("in_memory", [True, False])
@pytest.mark.parametrize("first", ["folder", "table"])
def test_every_source_is_numbered_as_the_training_images_are(
    tmp_path: Path, in_memory: bool, first: str
) -> None:
    """Folders are in the order of names, a table of numbers in that of numbers."""
    sources = [shades(tmp_path / "set", 12), tabled(tmp_path / "x.parquet", list(range(12)))]
    train, other = sources if first == "folder" else sources[::-1]
    images = ready(train, val=other, test=other, in_memory=in_memory, image_size=16)
    names = [str(number) for number in range(12)]
    assert images.classes == tuple(sorted(names) if first == "folder" else names)
    for loader in ("train", "val", "test"):
        for image, target in by_number(images, loader).values():
            assert images.classes[target] == str(image[0, 0, 0])


def test_the_order_of_classes_can_be_given(tmp_path: Path) -> None:
    train = folder(tmp_path / "set")
    images = ready(train, val=folder(tmp_path / "val", each=1), classes=["b", "c", "a"])
    assert images.classes == ("b", "c", "a")
    assert images.pipeline.train.targets.unique(return_counts=True)[1].tolist() == [10, 10, 10]
    assert images.pipeline.val.targets.tolist() == [2, 0, 1]
    told = rf"^{train} has 3 classes, data\.classes has 2; not in both: c$"
    with pytest.raises(ValueError, match=told):
        ready(train, classes=["b", "a"])


@pytest.mark.parametrize("in_memory", [True, False])
def test_one_class_is_refused(tmp_path: Path, in_memory: bool) -> None:
    train = folder(tmp_path, classes="a")
    with pytest.raises(ValueError, match=rf"^all images in {train} are of one class, a: two are"):
        ready(train, image_size=16, in_memory=in_memory)


@pytest.mark.parametrize("in_memory", [True, False])
def test_columns_of_a_table_can_be_given(tmp_path: Path, in_memory: bool) -> None:
    train = tabled(tmp_path / "x.parquet", [0, 1, 1, 0] * 5, "kind")
    given = {"image_column": "image", "label_column": "kind"}
    images = ready(train, image_size=16, in_memory=in_memory, **given)
    assert images.pipeline.train.targets.tolist() == [0, 1, 1, 0] * 5
    with pytest.raises(ValueError, match=r"set data\.label_column$"):
        ready(train, image_size=16, in_memory=in_memory)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_damaged_image_that_is_decoded_on_demand_is_one_line(
    tmp_path: Path, workers: int
) -> None:
    train = folder(tmp_path / "set")
    damaged = tmp_path / "set/b/7.png"
    damaged.write_bytes(damaged.read_bytes()[:300])
    images = ready(train, image_size=14, in_memory=False, workers=workers)
    with pytest.raises(UnreadableImage) as caught:
        list(images.train_dataloader()) + list(images.val_dataloader())
    traceback.clear_frames(caught.tb)  # in a cycle, a loader's end waits for its workers: 5 s
    assert str(caught.value).startswith(f"cannot read image {damaged}: ")
    assert "\n" not in str(caught.value)


def test_testing_without_test_images_is_refused(tmp_path: Path) -> None:
    images = ready(folder(tmp_path))
    with pytest.raises(ValueError, match=r"no test images: give data\.test"):
        images.setup("test")


def test_a_missing_source_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no such file or folder"):
        ready(str(tmp_path / "gone"))
