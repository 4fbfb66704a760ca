"""A cache is refused when what its entries depend on has changed, and for nothing else."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from distill.augment import Mixup, RandomCrop, RandomHorizontalFlip
from distill.core.errors import RecipeError
from distill.core.trust import trusting
from distill.modules import Distillation, Normalization
from teachers import Cached, Ensemble, from_run
from tests.fixtures.caches import CE, data, opened, teacher, terms
from tests.fixtures.networks import tiny
from tests.fixtures.runs import write_run


def changed(*places: str, **settings: Any) -> nn.Module:
    """The teacher with a number of some tensors, or a setting of its layers, changed."""
    network = teacher()
    for place in places:
        network.state_dict()[place].flatten()[0].add_(1e-6)
    for place, value in settings.items():
        layer, _, name = place.rpartition("__")
        setattr(network.get_submodule(layer), name, value)
    return network


def handled() -> nn.Module:
    """The teacher after somebody looked into it."""
    network = teacher().train().requires_grad_()
    network.register_forward_hook(lambda *_: None)
    return network


def normalized() -> nn.Module:
    """The teacher with a normalisation of its own that is the data's."""
    network, digits = teacher(), data()
    network.input_normalization = (digits.mean, digits.std)
    return network


def named() -> nn.Module:
    """The teacher as a finished run gives it, with the names of its classes."""
    network = teacher()
    network.trained_classes = tuple(data().classes)
    return network


CROP = [RandomCrop(1)]
RELEVANT: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "a weight": ("model.teacher.conv.weight", {"network": lambda: changed("conv.weight")}, {}),
    "a running mean": (
        "model.teacher.bn.running_mean",
        {"network": lambda: changed("bn.running_mean")},
        {},
    ),
    "a wider teacher": ("model.teacher.bn.bias", {"network": lambda: tiny(16)}, {}),
    "another teacher": ("model.teacher", {"network": lambda: Ensemble([teacher()])}, {}),
    "a rate": ("model.teacher.dropout.p", {"network": lambda: changed(dropout__p=0.2)}, {}),
    "a stride": (
        "model.teacher.conv.stride",
        {"network": lambda: changed(conv__stride=(1, 1))},
        {},
    ),
    "a layer's number": ("model.teacher.bn.eps", {"network": lambda: changed(bn__eps=1e-4)}, {}),
    "its normalisation": (
        "model.normalization.teacher",
        {"normalization": {"teacher": Normalization([0.5], [0.5])}},
        {},
    ),
    "its mode": (
        "data.batch_size",
        {"teacher_mode": "batch_statistics"},
        {},
    ),
    "precision": ("trainer.precision", {"precision": "bf16-mixed"}, {}),
    "the seed of the data": ("data.seed", {}, {"seed": 1}),
    "an augmentation's argument": ("data.augment.0.padding", {}, {"augment": [RandomCrop(2)]}),
    "one augmentation more": ("data.augment.1", {}, {"augment": [*CROP, RandomHorizontalFlip()]}),
    "another augmentation": ("data.augment.0", {}, {"augment": [RandomHorizontalFlip()]}),
    "the images": ("data.train", {}, {"images": "brighter"}),
    "stored type": ("cache.dtype", {"cached": {"dtype": "float16"}}, {}),
    "logits kept": ("cache.top_k", {"cached": {"top_k": 3}}, {}),
    "pooling": ("cache.pool", {"cached": {"pool": True}}, {}),
}
IRRELEVANT: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "nothing": ({}, {}),
    "batch size": ({}, {"batch_size": 8}),
    "workers": ({}, {"workers": 2}),
    "fewer training images": ({}, {"train_samples": 20}),
    "another share for validation": ({}, {"val": 0.2}),
    "views that repeat": ({}, {"views": 1}),
    "an equal teacher": ({"network": teacher}, {}),
    "a teacher's modes and hooks": ({"network": handled}, {}),
    "where its normalisation comes from": ({"network": normalized}, {}),
    "whether it knows its classes": ({"network": named}, {}),
    "the student's normalisation": (
        {"normalization": {"student": Normalization([0.5], [0.5])}},
        {},
    ),
    "layout": ({"channels_last": True}, {}),
    "weight decay": ({"decay": "weights"}, {}),
    "how the cache is asked for": ({"cached": {}}, {}),
    "what gradients are logged": ({"gradient_norms": "student.logits"}, {}),
}


def open_with(file: str, model_options: dict[str, Any], data_options: dict[str, Any]) -> None:
    options, given = dict(model_options), dict(data_options)
    network, precision = options.pop("network", teacher)(), options.pop("precision", "32-true")
    if "cached" in options:
        network = Cached(network, file, **options.pop("cached"))
    else:
        options["cache"] = file
    brighter = given.pop("images", None)
    digits = data(**({"augment": CROP, "seed": 0} | given))
    if brighter:
        digits.setup("fit")
        assert digits.pipeline.train is not None
        digits.pipeline.train.images = digits.pipeline.train.images.clone()
        digits.pipeline.train.images[5, 0, 0, 0] += 1
        digits.setup = lambda stage: None  # type: ignore[method-assign, assignment]
    torch.manual_seed(1)
    module = Distillation(network, tiny(8), {"ce": CE, "kd": terms()["kd"]}, **options)
    opened(module, digits, precision)
    assert module.teaching.cache is not None
    module.teaching.cache.store.close()


@pytest.mark.parametrize("what", RELEVANT)
def test_a_change_of_what_outputs_depend_on_is_refused_and_named(tmp_path: Path, what: str) -> None:
    file = str(tmp_path / "c.sqlite")
    field, model_options, data_options = RELEVANT[what]
    open_with(file, {}, {})
    with pytest.raises(RecipeError) as told:
        open_with(file, model_options, data_options)
    assert f"contains outputs of other settings: {field} was " in str(told.value)
    open_with(file, {}, {})


@pytest.mark.parametrize("what", IRRELEVANT)
def test_a_change_of_anything_else_is_not(tmp_path: Path, what: str) -> None:
    file = str(tmp_path / "c.sqlite")
    open_with(file, {}, {})
    open_with(file, *IRRELEVANT[what])


@pytest.mark.parametrize(("change", "field"), [("batch_size", 8), ("train_samples", 50)])
def test_where_images_are_mixed_batches_count(tmp_path: Path, change: str, field: int) -> None:
    file, mixing = str(tmp_path / "c.sqlite"), {"augment": [Mixup(10)]}
    open_with(file, {}, mixing)
    with pytest.raises(RecipeError, match=rf"data\.{change} was "):
        open_with(file, {}, mixing | {change: field})


ENSEMBLES: dict[str, dict[str, Any]] = {
    "_log_weights": {"weights": [1.0, 2.0]},
    "combine": {"combine": "most_confident"},
}


@pytest.mark.parametrize("setting", ENSEMBLES)
def test_how_members_are_combined_is_what_outputs_depend_on(tmp_path: Path, setting: str) -> None:
    file = str(tmp_path / "c.sqlite")

    def together(**options: Any) -> dict[str, Any]:
        return {"network": lambda: Ensemble([teacher(7), teacher(8)], **options)}

    open_with(file, together(), {})
    with pytest.raises(RecipeError, match=rf"of other settings: model\.teacher\.{setting} was "):
        open_with(file, together(**ENSEMBLES[setting]), {})
    open_with(file, together(), {})


def test_the_teacher_of_a_run_that_was_moved_is_the_same(tmp_path: Path) -> None:
    file, arguments = str(tmp_path / "c.sqlite"), {"width": 12, "num_classes": 10, "in_channels": 1}
    spec = {"class_path": "tests.fixtures.networks.TinyNet", "init_args": arguments}
    before = write_run(tmp_path / "before", spec, teacher())
    with trusting(["tests"]):
        open_with(file, {"network": lambda: from_run(before)}, {})
        after = shutil.move(before, tmp_path / "after")
        open_with(file, {"network": lambda: from_run(str(after))}, {})
