from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from distill.augment import Mixup
from distill.data import Digits, Images, PartlyLabelled
from distill.data.datasets import BatchKey
from distill.data.sources import UNLABELLED
from tests.fixtures.images import folder, picture

MORE = range(100, 106)


def more(path: Path, classes: str = "") -> str:
    """Six images in a flat folder, or in folders of classes."""
    path.mkdir(parents=True)
    for place, seed in enumerate(MORE):
        own = path / classes[place % len(classes)] if classes else path
        own.mkdir(exist_ok=True)
        Image.fromarray(picture(seed)).save(own / f"{seed}.png")
    return str(path)


def ready(images: Digits | Images, **options: object) -> PartlyLabelled:
    data = PartlyLabelled(images, **options)
    data.setup("fit")
    return data


def own(path: Path, **options: object) -> Images:
    return Images(folder(path / "train"), val=0.2, batch_size=4, **options)


def hidden(data: PartlyLabelled) -> list[int]:
    return [i for batch in data.train_dataloader() for i in batch.index[batch.target < 0].tolist()]


def test_hidden_labels_are_of_no_class_and_the_others_as_they_were() -> None:
    digits = Digits(batch_size=77)
    digits.setup("fit")
    true = digits.pipeline.train.targets.clone()
    data = ready(Digits(batch_size=77), labels=0.1)  # 14 batches, all images
    seen = torch.zeros(len(true), dtype=torch.int64)
    for batch in data.train_dataloader():
        known = batch.target != UNLABELLED
        assert torch.equal(batch.target[known], true[batch.index[known]])
        seen[batch.index] += 1 + known.long()
    assert (seen == 2).sum() == len(data._labeled_ids)
    train = digits.pipeline.train.ids
    assert set(seen.nonzero().flatten().tolist()) <= set(train.tolist())
    assert len(data.pipeline.train.ids) == len(train)


def test_validation_and_test_are_left_as_they_are() -> None:
    digits, data = Digits(), ready(Digits(), labels=0.1)
    digits.setup("fit")
    for stage in ("val", "test"):
        loaders = [getattr(each, f"{stage}_dataloader")() for each in (digits, data)]
        for left, right in zip(*loaders, strict=True):
            assert torch.equal(left.image, right.image)
            assert torch.equal(left.target, right.target)


@pytest.mark.parametrize("in_memory", [True, False])
def test_more_images_are_added_without_their_labels(tmp_path: Path, in_memory: bool) -> None:
    images = own(tmp_path, in_memory=in_memory, image_size=16)
    data = ready(images, unlabelled=more(tmp_path / "more", "ab"))
    assert data.classes == ("a", "b", "c")
    assert len(data.pipeline.train.ids) == 24 + 6
    pool = data.pool()
    batch = next(iter(data._images.pipeline.eval_loader("val")))
    assert batch.target.min() >= 0
    assert pool.ids.tolist() == list(range(30, 36))
    assert set(hidden(data)) <= set(range(30, 36))
    assert pool.targets[pool.ids].tolist() == [UNLABELLED] * 6
    if in_memory:
        found = {image.numpy().transpose(1, 2, 0).tobytes() for image in pool.images[pool.ids]}
        assert found == {picture(seed).tobytes() for seed in MORE}


def test_added_images_are_resized_to_the_labelled_ones(tmp_path: Path) -> None:
    path = tmp_path / "more"
    path.mkdir()
    Image.fromarray(np.full((40, 30, 3), 77, np.uint8)).save(path / "large.png")
    pool = ready(own(tmp_path), unlabelled=str(path)).pool()
    assert pool.images.shape[1:] == (3, 16, 16)
    assert torch.all(pool.images[pool.ids] == 77)


def test_a_batch_has_so_many_unlabelled_images_behind_its_labelled_ones(tmp_path: Path) -> None:
    path = more(tmp_path / "more")
    data = ready(own(tmp_path), labels=0.34, unlabelled=path, unlabelled_batch_size=7)
    batches = list(data.train_dataloader())
    assert len(batches) == 2
    for batch in batches:
        assert (batch.target[:4] >= 0).all()
        assert (batch.target[4:] == UNLABELLED).all()
        assert len(batch.image) == 11
    assert len(set(hidden(data))) == 14


def test_without_unlabelled_images_the_labelled_ones_are_left() -> None:
    options = {"labels": 0.1, "selected": "nowhere", "unlabelled_batch_size": 0}
    data = ready(Digits(batch_size=20), **options)
    assert (data.example(6).target >= 0).all()
    plain = Digits(batch_size=20)
    plain.setup("fit")
    plain.pipeline.train.ids = data._labeled_ids
    for left, right in zip(data.train_dataloader(), plain.train_dataloader(), strict=True):
        assert torch.equal(left.index, right.index)
        assert torch.equal(left.target, right.target)


@pytest.mark.parametrize("size", [None, 30])
def test_the_first_samples_are_of_both_kinds(size: int | None) -> None:
    data = ready(Digits(batch_size=20), labels=0.1, unlabelled_batch_size=size)
    assert (data.example(2).target >= 0).tolist() == [True, False]
    assert (data.example(1).target >= 0).tolist() == [True]
    assert (data.example(5).target >= 0).sum() == 3


def test_it_stays_the_same_when_digits_are_set_up_again() -> None:
    data = ready(Digits(batch_size=20), labels=0.1)
    train = data.pipeline.train
    data.setup("test")
    assert data.pipeline.train is train


def test_its_cache_knows_what_is_in_a_batch_where_images_are_mixed() -> None:
    def fields(size: int, labels: float) -> dict[str, str]:
        digits = Digits(batch_size=20, augment=[Mixup(10)])
        return ready(digits, labels=labels, unlabelled_batch_size=size).fingerprint()

    assert fields(9, 0.1) == fields(9, 0.1)
    assert fields(9, 0.1) != fields(8, 0.1)
    assert fields(9, 0.1) != fields(9, 0.2)


def test_images_decoded_on_demand_are_seen_in_keyed_crops(tmp_path: Path) -> None:
    path = more(tmp_path / "more")
    images = own(tmp_path, in_memory=False, image_size=8, resize="crop")
    data = ready(images, unlabelled=path)
    assert data.pipeline.views().keyed_crops
    train, pool, sample = data.pipeline.train, data.pool(), torch.tensor([33])
    assert train.source.name(33).endswith("103.png")
    assert train.source.name(0).endswith("a/0.png")
    crops = [train[BatchKey(epoch, sample)].image for epoch in range(3)]
    assert not torch.equal(crops[0], crops[1])
    assert torch.equal(crops[2], train[BatchKey(2, sample)].image)
    centre = pool[BatchKey(0, sample)].image
    assert torch.equal(centre, pool[BatchKey(1, sample)].image)


def test_the_batch_size_finder_sets_that_of_the_labelled_images() -> None:
    data = ready(Digits(batch_size=20), labels=0.1, unlabelled_batch_size=10)
    data.batch_size = 5
    assert (data.batch_size, data.pipeline.batch_size) == (5, 5)
    assert len(next(iter(data.train_dataloader())).image) == 15


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"labels": 0.0}, "labels must be a share above 0 and at most 1, got 0.0"),
        ({"labels": 1.5}, "labels must be a share above 0 and at most 1, got 1.5"),
        ({"unlabelled_batch_size": -1}, "unlabelled_batch_size must be at least 0, got -1"),
        ({}, "there are no unlabelled images: lower labels or give unlabelled"),
        ({"labels": 0.1, "unlabelled_batch_size": 999}, "must be at most 194: an epoch has 5 b"),
        ({"unlabelled": "nowhere"}, "no such file or folder: nowhere"),
        ({"labels": 0.1, "selected": "nowhere"}, "cannot read nowhere/places.safetensors"),
    ],
)
def test_what_cannot_be_is_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ready(Digits(batch_size=20), **options).train_dataloader()


def test_testing_needs_no_selection() -> None:
    data = PartlyLabelled(Digits(), labels=0.1, selected="nowhere")
    with pytest.raises(ValueError, match="call setup first"):
        data.pool()
    data.setup("test")
    assert len(data.example(2).image) == 2
    assert len(next(iter(data.test_dataloader())).image) == 256
