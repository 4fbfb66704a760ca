"""Training with a cache of teacher outputs is the same as training live."""

from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from distill.augment import Mixup, RandomCrop
from distill.core.errors import RecipeError
from distill.data import Digits
from distill.modules import Distillation
from teachers import Cached
from tests.fixtures.caches import data, opened, teacher, terms
from tests.fixtures.networks import tiny

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*does not have many workers.*", "ignore:.*LeafSpec.*"
)


def model(network: nn.Module | None = None, **options: Any) -> Distillation:
    network = teacher() if network is None else network
    torch.manual_seed(1)
    return Distillation(network, tiny(8), terms(), **options)


def fit(module: Distillation, digits: Digits, **options: Any) -> dict[str, Tensor]:
    settings = {"max_epochs": 3, "logger": False, "enable_checkpointing": False}
    settings |= {"enable_progress_bar": False, "enable_model_summary": False}
    settings |= {"accelerator": "cpu", "num_sanity_val_steps": 0, "limit_val_batches": 0}
    pl.Trainer(**(settings | options)).fit(module, digits)
    return module.state_dict()


def same(left: dict[str, Tensor], right: dict[str, Tensor]) -> bool:
    return all(torch.equal(value, right[name]) for name, value in left.items())


@pytest.mark.parametrize("name", ["c.sqlite", "c.shards"])
def test_training_from_the_cache_is_bitwise_training_live(tmp_path: Path, name: str) -> None:
    """Three epochs with crop, flip and mixup; logits and maps."""
    file = str(tmp_path / name)
    live = fit(model(), data())
    filling, reading = model(cache=file), model(cache=file)
    assert same(live, fit(filling, data()))
    assert same(live, fit(reading, data()))
    assert filling.teaching.cache is not None
    assert reading.teaching.cache is not None
    assert (filling.teaching.cache.misses, reading.teaching.cache.misses) == (12, 0)


@pytest.mark.parametrize("name", ["c.sqlite", "c.shards"])
def test_the_teacher_need_not_look_at_what_is_stored(tmp_path: Path, name: str) -> None:
    """Neither in training nor in validation."""
    file = str(tmp_path / name)
    live = model()
    fit(live, data(), limit_val_batches=1.0)
    fit(model(cache=file), data(), limit_val_batches=1.0)
    reading = model(cache=file)
    looked: list[int] = []
    fit(reading, data(), limit_val_batches=1.0, callbacks=[Watch(looked)])
    assert looked == []
    assert reading.evaluation.teacher_scores == live.evaluation.teacher_scores


class Watch(pl.Callback):
    """Notes the passes of the teacher after the dry pass."""

    def __init__(self, looked: list[int]) -> None:
        self.looked = looked

    def on_train_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        def note(*_: Any) -> None:
            self.looked.append(trainer.global_step)

        pl_module.teacher.register_forward_hook(note)


@pytest.mark.parametrize("mixed", [False, True])
def test_views_that_repeat_are_looked_at_once(tmp_path: Path, mixed: bool) -> None:
    augment = [RandomCrop(1), *([Mixup(10)] if mixed else [])]
    module = model(cache=str(tmp_path / "c.sqlite"))
    fit(module, data(augment=augment, views=2, train_samples=64), max_epochs=4)
    assert module.teaching.cache is not None
    assert module.teaching.cache.misses == 8  # two epochs of four batches


def test_without_augmentation_every_epoch_shows_the_same(tmp_path: Path) -> None:
    module = model(cache=str(tmp_path / "c.sqlite"))
    fit(module, data(augment=[], train_samples=64))
    assert module.teaching.cache is not None
    assert module.teaching.cache.misses == 4


def test_without_mixing_another_batch_size_finds_the_same_entries(tmp_path: Path) -> None:
    file = str(tmp_path / "c.sqlite")
    fit(model(cache=file), data(augment=[RandomCrop(1)], train_samples=64))
    module = model(cache=file)
    fit(module, data(augment=[RandomCrop(1)], train_samples=64, batch_size=32))
    assert module.teaching.cache is not None
    assert module.teaching.cache.misses == 0


class Jitter(nn.Module):
    """Draws from torch's generator, which no key decides."""

    def forward(self, batch: Any, key: int) -> Any:
        batch.image = batch.image.float() / 255 + torch.rand(()) * 0.1
        return batch


def test_an_augmentation_that_is_not_keyed_is_found_out(tmp_path: Path) -> None:
    file = str(tmp_path / "c.sqlite")
    fit(model(cache=file), data(augment=[Jitter()]), max_epochs=1)
    module = model(cache=file)
    torch.manual_seed(99)
    with pytest.raises(RecipeError, match="was made from other pixels"):
        fit(module, data(augment=[Jitter()]), max_epochs=1)


def test_a_teacher_that_sees_the_batch_is_cached_with_its_batches(tmp_path: Path) -> None:
    """Bitwise as live; another batch size is refused."""
    file, crops = str(tmp_path / "c.sqlite"), {"augment": [RandomCrop(1)]}
    options: dict[str, Any] = {"teacher_mode": "batch_statistics"}
    live = fit(model(**options), data(**crops))
    fit(model(cache=file, **options), data(**crops))
    reading = model(cache=file, **options)
    assert same(live, fit(reading, data(**crops)))
    assert reading.teaching.cache is not None
    assert reading.teaching.cache.misses == 0
    with pytest.raises(RecipeError, match=r"data\.batch_size was 16 on each of 1, is 8"):
        opened(model(cache=file, **options), data(batch_size=8, **crops))


@pytest.mark.parametrize("again", [{"augment": []}, {"augment": [RandomCrop(1)], "views": 2}])
def test_a_teacher_that_sees_the_batch_needs_views_that_come_once(
    tmp_path: Path, again: dict[str, Any]
) -> None:
    module = model(cache=str(tmp_path / "c.sqlite"), teacher_mode="batch_statistics")
    with pytest.raises(RecipeError, match=r"model\.cache: in mode batch_statistics a teach"):
        opened(module, data(**again))
    assert not list(tmp_path.iterdir())


def test_a_bad_recipe_leaves_no_cache(tmp_path: Path) -> None:
    module = model(Cached(teacher(), str(tmp_path / "c.sqlite"), top_k=10))
    with pytest.raises(RecipeError, match=r"model\.cache: top_k must be below the 10 classes"):
        opened(module, data())
    assert not list(tmp_path.iterdir())


def test_the_cache_is_asked_for_once() -> None:
    with pytest.raises(ValueError, match="cache must not be given twice"):
        model(Cached(teacher()), cache="auto")
