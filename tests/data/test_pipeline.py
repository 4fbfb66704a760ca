from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from distill.augment import CutMix, GaussianBlur, GaussianNoise, RandAugment, RandomCrop
from distill.core.batch import Batch
from distill.core.randomness import fold
from distill.data.datasets import BatchKey, InMemoryImages
from distill.data.pipeline import Pipeline, split, subsample


def table(ids: Tensor, n: int = 40) -> InMemoryImages:
    values = np.random.default_rng(0).integers(0, 256, (n, 1, 4, 4)).astype(np.uint8)
    return InMemoryImages(torch.from_numpy(values), torch.arange(n) % 3, ids)


def pipeline(batch_size: int = 4, seed: int = 0, augment: tuple[nn.Module, ...] = ()) -> Pipeline:
    three = {"train": table(torch.arange(22)), "val": table(torch.arange(22, 29))}
    three["test"] = table(torch.arange(29, 40))
    return Pipeline(batch_size, 0, augment, eval_batch_size=3, seed=seed, **three)


def trainer(begun: int = 0, limit: float | None = 1.0, rank: int = 0, world: int = 1):
    ready = SimpleNamespace(total=SimpleNamespace(ready=begun))
    loop = SimpleNamespace(epoch_loop=SimpleNamespace(batch_progress=ready))
    return SimpleNamespace(
        world_size=world, global_rank=rank, limit_train_batches=limit, fit_loop=loop
    )


def order(loader) -> list[list[int]]:
    return [batch.index.tolist() for batch in loader]


class Scale(nn.Module):
    """Multiplies by what it is given, and keeps what it was called with."""

    def __init__(self, factor: int) -> None:
        super().__init__()
        self.factor, self.calls = factor, []

    def forward(self, batch: Batch, key: int) -> Batch:
        self.calls.append((batch, key))
        return replace(batch, image=(batch.image + 1) * self.factor)


def test_without_a_trainer_an_epoch_begins_at_its_first_batch() -> None:
    assert order(pipeline().train_loader(None)) == order(pipeline().train_loader(trainer()))


def test_the_loader_goes_on_from_where_the_trainer_is() -> None:
    here = trainer()
    loader = pipeline(augment=(nn.Identity(),)).train_loader(here)
    first = order(loader)
    assert len(first) == len(loader) == 5
    here.fit_loop.epoch_loop.batch_progress.total.ready = 3
    assert order(loader) == first[3:]
    here.fit_loop.epoch_loop.batch_progress.total.ready = 5
    assert {batch.epoch for batch in loader} == {1}


@pytest.mark.parametrize(("limit", "length"), [(None, 5), (1.0, 5), (0.5, 2), (0.1, 1), (3, 3)])
def test_an_epoch_is_limited_as_the_trainer_says(limit: float | None, length: int) -> None:
    loader = pipeline().train_loader(trainer(limit=limit))
    assert len(loader) == length
    assert order(loader) == order(pipeline().train_loader(None))[:length]


def test_a_share_is_taken_once() -> None:
    """Lightning asks the trainer after the loader is made: 0.6 of 5 batches are 3, not 1."""
    running = pl.Trainer(limit_train_batches=0.6, logger=False, enable_checkpointing=False)
    loader = pipeline().train_loader(running)
    assert running.limit_train_batches == len(loader) == 3
    assert len(pipeline().train_loader(running)) == 3


def test_a_limit_above_the_epoch_changes_nothing() -> None:
    assert len(pipeline().train_loader(trainer(limit=9))) == 5


def test_processes_share_the_batches_of_an_epoch() -> None:
    ranks = [order(pipeline().train_loader(trainer(rank=r, world=2))) for r in range(2)]
    both = [one + other for one, other in zip(*ranks, strict=True)]
    assert both == order(pipeline(batch_size=8).train_loader(None))


def test_the_seed_is_the_runs_unless_it_has_its_own() -> None:
    made = Pipeline(4, 0, ())
    assert made.key_seed == 0
    made.run_seed = 3
    assert (made.key_seed, pipeline(seed=5).key_seed) == (3, 5)
    orders = [order(pipeline(seed=seed).train_loader(None)) for seed in (3, 3, 4)]
    assert orders[0] == orders[1] != orders[2]


@pytest.mark.parametrize("world", [1, 2])
def test_a_batch_larger_than_the_set_is_refused(world: int) -> None:
    with pytest.raises(ValueError, match=f"batch_size needs {24 * world} training images.* 22"):
        pipeline(batch_size=24).train_loader(trainer(world=world))


def test_a_batch_as_large_as_the_set_is_the_whole_set() -> None:
    (batch,) = pipeline(batch_size=22).train_loader(None)
    assert sorted(batch.index.tolist()) == list(range(22))


@pytest.mark.parametrize(("stage", "first", "last"), [("val", 22, 29), ("test", 29, 40)])
def test_evaluation_loads_every_sample_in_order(stage: str, first: int, last: int) -> None:
    batches = list(pipeline().eval_loader(stage))
    assert torch.cat([batch.index for batch in batches]).tolist() == list(range(first, last))
    assert len(batches) == -(-(last - first) // 3)


def test_a_set_that_is_missing_or_empty_is_refused() -> None:
    for empty in (None, table(torch.arange(0))):
        bare = Pipeline(4, 0, (), train=empty, val=empty, test=empty)
        with pytest.raises(ValueError, match=r"no train images: give data\.train"):
            bare.train_loader(None)
        with pytest.raises(ValueError, match=r"no train images: give data\.train"):
            bare.example(2)
        for stage in ("val", "test"):
            with pytest.raises(ValueError, match=rf"no {stage} images: give data\.{stage}"):
                bare.eval_loader(stage)


def test_examples_are_the_first_training_samples_not_augmented() -> None:
    lines = pipeline(augment=(Scale(3),))
    example = lines.example(3)
    assert example.index.tolist() == [0, 1, 2]
    assert torch.equal(example.image, lines.train.images[:3])
    lines.train = None
    assert lines.example(2).index.tolist() == [29, 30]


def test_augmentations_are_applied_in_order_with_keys_of_their_own() -> None:
    first, second = Scale(2), Scale(5)
    lines = pipeline(seed=6, augment=(first, second))
    samples = torch.tensor([4, 1])
    batch = Batch(torch.ones(2, 1, 1, 1), torch.tensor([0, 2]), samples, epoch=3, step=40)
    augmented = lines.augmented(batch)
    assert augmented.image.flatten().tolist() == [25.0, 25.0]
    assert torch.equal(batch.image, torch.ones(2, 1, 1, 1))
    assert augmented.target is batch.target
    for place, scale in enumerate((first, second)):
        ((given, key),) = scale.calls
        assert (given.index is samples, given.epoch, given.step) == (True, 3, 40)
        assert key == fold(6, "augment", place, 3)


def test_a_view_depends_on_seed_epoch_and_sample_alone() -> None:
    def views(samples: list[int], seed: int = 0, epoch: int = 2) -> Tensor:
        lines = pipeline(seed=seed, augment=(RandomCrop(2),))
        return lines.augmented(lines.train[BatchKey(epoch, torch.tensor(samples))]).image

    together = views([4, 9, 0, 17])
    assert torch.equal(together[[2, 1]], views([0, 9]))
    assert not torch.equal(together, views([4, 9, 0, 17], seed=1))
    assert not torch.equal(together, views([4, 9, 0, 17], epoch=3))


def test_views_do_not_depend_on_batch_size_and_workers() -> None:
    augment = (RandomCrop(2), RandAugment(2), GaussianNoise(probability=1.0), GaussianBlur())

    def views(batch_size: int, workers: int) -> dict[int, bytes]:
        lines = pipeline(batch_size=batch_size, augment=augment)
        lines.workers = workers
        batches = [lines.augmented(batch) for batch in lines.train_loader(None)]
        pairs = ((batch.index.tolist(), batch.image) for batch in batches)
        return {
            i: image.numpy().tobytes()
            for rows, x in pairs
            for i, image in zip(rows, x, strict=True)
        }

    expected = views(batch_size=11, workers=0)
    assert len(set(expected.values())) == 22
    assert views(batch_size=2, workers=0) == expected
    assert views(batch_size=11, workers=2) == expected


def test_mixed_images_come_with_soft_targets() -> None:
    lines = pipeline(augment=(CutMix(num_classes=3),))
    for plain in lines.train_loader(None):
        batch = lines.augmented(plain)
        assert batch.image.dtype == torch.uint8
        assert batch.target.shape == (4, 3)
        torch.testing.assert_close(batch.target.sum(1), torch.ones(4))
        for image, own in zip(batch.image, plain.image, strict=True):
            pixels = (image[:, None] == plain.image.transpose(0, 1)).any(1)
            assert pixels.all()  # every pixel is one of this batch's, in its place
            assert (image == own).any()


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 1.0])
def test_a_split_divides_all_samples_in_ascending_order(share: float) -> None:
    ids = torch.arange(0, 123, 3)
    few, many = split(ids, share, key=5)
    assert len(few) == round(share * 41)
    assert sorted(few.tolist() + many.tolist()) == ids.tolist()
    for part in (few, many):
        assert part.tolist() == sorted(part.tolist())


def test_a_split_is_a_function_of_its_key() -> None:
    ids = torch.arange(100)
    assert torch.equal(split(ids, 0.3, 1)[0], split(ids, 0.3, 1)[0])
    assert not torch.equal(split(ids, 0.3, 1)[0], split(ids, 0.3, 2)[0])


def test_a_larger_share_of_the_same_key_holds_the_smaller_one() -> None:
    small, large = (set(split(torch.arange(50), share, 1)[0].tolist()) for share in (0.2, 0.6))
    assert small < large


def test_keeping_none_keeps_all() -> None:
    ids = torch.tensor([3, 1, 2])
    assert torch.equal(subsample(ids, None), ids)


def test_kept_samples_are_in_ascending_order_and_nested() -> None:
    ids = torch.arange(0, 60, 2)
    for n in (1, 7, 30):
        kept = subsample(ids, n)
        assert len(kept) == len(set(kept.tolist())) == n
        assert kept.tolist() == sorted(kept.tolist())
        assert set(kept.tolist()) <= set(ids.tolist())
    assert set(subsample(ids, 7).tolist()) < set(subsample(ids, 12).tolist())


@pytest.mark.parametrize("n", [0, -1, 6])
def test_keeping_none_at_all_or_more_than_there_are_is_refused(n: int) -> None:
    with pytest.raises(ValueError, match=rf"data\.train_samples must be in 1\.\.5, got {n}"):
        subsample(torch.arange(5), n)
