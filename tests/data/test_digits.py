from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn

from distill.core.batch import Batch
from distill.data import Digits


class Negative(nn.Module):
    def forward(self, batch: Batch, key: int) -> Batch:
        return replace(batch, image=255 - batch.image)


def ready(**arguments: object) -> Digits:
    digits = Digits(**arguments)
    digits.setup("fit")
    return digits


def ids(digits: Digits) -> dict[str, list[int]]:
    sets = digits.pipeline
    return {name: getattr(sets, name).ids.tolist() for name in ("train", "val", "test")}


def test_every_image_is_in_exactly_one_set() -> None:
    sets = ids(ready())
    assert sorted(sets["train"] + sets["val"] + sets["test"]) == list(range(1797))


@pytest.mark.parametrize(("val", "test"), [(0.15, 0.25), (0.5, 0.1), (0.001, 0.3), (0.2, 0.0)])
def test_the_sets_have_their_shares_of_all_images(val: float, test: float) -> None:
    sets = ids(ready(val=val, test=test))
    assert len(sets["val"]) == pytest.approx(val * 1797, abs=1)
    assert len(sets["test"]) == pytest.approx(test * 1797, abs=0.5)


def test_the_sets_do_not_depend_on_the_seed() -> None:
    sets = ids(ready(train_samples=100))
    other = ready(train_samples=100, seed=5)
    assert ids(other) == sets


def test_fewer_training_samples_leave_the_other_sets_alone() -> None:
    whole, few = ids(ready()), ids(ready(train_samples=100))
    assert len(few["train"]) == 100
    assert set(few["train"]) < set(whole["train"])
    assert (few["val"], few["test"]) == (whole["val"], whole["test"])


def test_images_are_those_of_scikit_learn_in_eight_bits() -> None:
    digits = load_digits()
    for loader in (ready().train_dataloader, ready().val_dataloader, ready().test_dataloader):
        batch = next(iter(loader()))
        rows = batch.index.numpy()
        assert batch.image.dtype == torch.uint8
        assert batch.target.dtype == torch.int64
        assert np.array_equal(batch.image[:, 0].numpy(), np.round(digits.images[rows] / 16 * 255))
        assert np.array_equal(batch.target.numpy(), digits.target[rows])


def test_the_normalisation_is_that_of_all_images() -> None:
    scaled = load_digits().images / 16
    assert Digits.mean[0] == pytest.approx(scaled.mean(), abs=1e-4)
    assert Digits.std[0] == pytest.approx(scaled.std(), abs=1e-4)
    assert Digits.classes == tuple("0123456789")


def test_an_epoch_is_made_of_whole_batches() -> None:
    digits = ready(batch_size=30, train_samples=100)
    batches = list(digits.train_dataloader())
    assert [len(batch.index) for batch in batches] == [30, 30, 30]
    drawn = {int(index) for batch in batches for index in batch.index}
    assert len(drawn) == 90
    assert drawn < set(ids(digits)["train"])


@pytest.mark.parametrize("name", ["val", "test"])
def test_evaluation_is_in_order(name: str) -> None:
    digits = ready()
    loader = digits.val_dataloader() if name == "val" else digits.test_dataloader()
    assert torch.cat([batch.index for batch in loader]).tolist() == ids(digits)[name]


def test_examples_are_not_augmented() -> None:
    digits = ready(augment=[Negative()])
    example = digits.example(3)
    assert example.index.tolist() == ids(digits)["train"][:3]
    assert torch.equal(example.image, digits.pipeline.train.images[example.index])


@pytest.mark.parametrize("training", [True, False, None])
def test_only_training_batches_are_augmented(training: bool | None) -> None:
    digits = Digits(augment=[Negative()])
    digits.trainer = None if training is None else SimpleNamespace(training=training)
    image = torch.tensor([[[[200]]]], dtype=torch.uint8)
    batch = Batch(image, torch.tensor([0]), torch.tensor([0]), 0)
    assert digits.on_after_batch_transfer(batch, 0).image.item() == (55 if training else 200)
    assert batch.image.item() == 200


@pytest.mark.parametrize(
    ("val", "test"), [(-0.1, 0.2), (0.2, -0.1), (1.0, 0.0), (0.5, 0.5), (0.0, 0.2)]
)
def test_shares_that_leave_nothing_are_refused(val: float, test: float) -> None:
    message = f"val and test must be shares that leave some, val above 0, got {val} and {test}"
    with pytest.raises(ValueError, match=message):
        Digits(val=val, test=test)


def test_a_share_of_less_than_one_image_for_validation_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^data\.val must give .* it gives 0 of 1348$"):
        ready(val=0.0002)


def test_more_training_samples_than_there_are_is_refused() -> None:
    with pytest.raises(ValueError, match=r"data\.train_samples must be in 1\.\.1078, got 1079"):
        ready(train_samples=1079)
