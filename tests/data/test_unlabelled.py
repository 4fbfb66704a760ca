from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import Tensor

from distill.augment import RandomCrop
from distill.core.batch import Batch
from distill.data import Digits, Images, Unlabelled
from distill.data.datasets import BatchKey, LazyImages
from distill.data.sources import UNLABELLED
from distill.tasks import Embedding
from tests.fixtures.images import folder, picture


def ready(images: Digits | Images, **options: object) -> Unlabelled:
    data = Unlabelled(images, **options)
    data.setup("fit")
    return data


def own(path: Path, **options: object) -> Images:
    return Images(folder(path / "train"), **({"val": 0.2, "batch_size": 4} | options))


def nested(path: Path) -> str:
    """Five larger images at several depths."""
    for seed, place in enumerate(("", "a", "a/b", "c", "c/d/e")):
        (path / place).mkdir(parents=True, exist_ok=True)
        image = Image.fromarray(picture(200 + seed)).resize((20, 24))
        image.save(path / place / f"{seed}.png")
    return str(path)


def whole(loader: object) -> Batch:
    batches = list(loader)
    names = ("image", "target", "index", "bank")
    parts = {n: torch.cat([vars(b)[n] for b in batches]) for n in names}
    return Batch(parts["image"], parts["target"], parts["index"], 0, bank=parts["bank"])


def counts(target: Tensor) -> list[int]:
    return torch.bincount(target, minlength=10).tolist()


def test_training_shows_the_images_of_the_labelled_ones_without_labels() -> None:
    plain = Digits(batch_size=77, augment=[RandomCrop(1)])
    data = ready(Digits(batch_size=77, augment=[RandomCrop(1)]), per_class=5)
    plain.setup("fit")
    assert isinstance(data.task, Embedding)
    for left, right in zip(data.train_dataloader(), plain.train_dataloader(), strict=True):
        assert torch.equal(left.image, right.image)
        assert torch.equal(left.index, right.index)
        assert (left.target == UNLABELLED).all()
    assert data.fingerprint() == plain.fingerprint()


@pytest.mark.parametrize("stage", ["val", "test"])
def test_an_evaluation_shows_the_bank_then_the_images(stage: str) -> None:
    plain, data = Digits(), ready(Digits(), per_class=30)  # a batch of 256 holds of both
    plain.setup("fit")
    loader = getattr(data, f"{stage}_dataloader")()
    batch, expected = whole(loader), getattr(plain.pipeline, stage)
    assert batch.bank.tolist() == [True] * 300 + [False] * len(expected.ids)
    assert torch.equal(batch.image[300:], expected.images[expected.ids])
    assert torch.equal(batch.target[300:], expected.targets[expected.ids])
    assert counts(batch.target[:300]) == [30] * 10
    train = plain.pipeline.train
    shown = {image.numpy().tobytes() for image in train.images[train.ids]}
    assert all(image.numpy().tobytes() in shown for image in batch.image[:300])


def test_sizes_count_the_bank_apart() -> None:
    assert ready(Digits(), per_class=3).sizes() == {
        "train": 1078,
        "bank": 30,
        "val": 270,
        "test": 449,
    }


def test_a_samples_key_may_come_in_any_order() -> None:
    val = ready(Digits(), per_class=2).pipeline.val
    mixed, sorted_ = torch.tensor([25, 3, 30, 0]), torch.tensor([0, 3, 25, 30])
    first, second = val[BatchKey(0, mixed)], val[BatchKey(0, sorted_)]
    order = mixed.argsort()
    assert torch.equal(first.image[order], second.image)
    assert torch.equal(first.target[order], second.target)
    assert first.bank.tolist() == [False, True, False, True]


def test_it_stays_the_same_when_it_is_set_up_again() -> None:
    data = ready(Digits(), per_class=2)
    train, shown = data.pipeline.train, whole(data.val_dataloader())
    data.setup("test")
    assert data.pipeline.train is train
    again = whole(data.val_dataloader())
    assert torch.equal(again.image, shown.image)
    assert data.sizes()["test"] == 449


@pytest.mark.parametrize("in_memory", [True, False])
def test_a_folder_of_any_depth_is_trained_on(tmp_path: Path, in_memory: bool) -> None:
    images = own(tmp_path, in_memory=in_memory, image_size=16)
    data = ready(images, train=nested(tmp_path / "more"), per_class=2)
    assert data.sizes() == {"train": 5, "bank": 6, "val": 6}
    assert data.classes == ("a", "b", "c")
    batch = next(iter(data.train_dataloader()))
    assert batch.image.shape == (4, 3, 16, 16)
    assert (batch.target == UNLABELLED).all()
    assert set(batch.index.tolist()) <= set(range(5))
    assert counts(whole(data.val_dataloader()).target[:6])[:3] == [2, 2, 2]


def test_decoded_on_demand_training_crops_and_the_bank_does_not(tmp_path: Path) -> None:
    data = ready(own(tmp_path, in_memory=False, image_size=8, resize="crop"), per_class=2)
    shown, bank = whole(data.val_dataloader()).image, data.pipeline.val.bank
    centred = LazyImages(bank.source, bank.ids, 8, 3)[BatchKey(0, bank.ids)]
    assert torch.equal(shown[:6], centred.image)
    kept = Images(str(tmp_path / "train"), in_memory=False, image_size=8, resize="crop", val=0.2)
    kept.setup("fit")
    assert torch.equal(shown[6:], next(iter(kept.val_dataloader())).image)
    assert data.pipeline.views().keyed_crops
    assert all((batch.target == UNLABELLED).all() for batch in data.train_dataloader())


def test_test_images_come_from_the_labelled_ones(tmp_path: Path) -> None:
    test = folder(tmp_path / "test", each=3, first=50)
    data = Unlabelled(own(tmp_path, test=test), per_class=2)
    data.setup("test")
    assert data.sizes()["test"] == 9
    assert whole(data.test_dataloader()).bank.sum() == 6


def test_a_bank_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^per_class must be at least 1, got 0$"):
        Unlabelled(Digits(), per_class=0)
