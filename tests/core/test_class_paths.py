import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import distill.losses
import students
from distill.core.class_paths import fits, gives, resolve
from distill.core.errors import RecipeError
from distill.core.refused import MODULES, OBJECTS
from distill.core.trust import TRUSTED


@pytest.mark.parametrize(
    ("path", "target"),
    [
        ("torch.nn.ReLU", nn.ReLU),
        ("torch.nn.modules.activation.ReLU", nn.ReLU),
        ("torch.optim.SGD", torch.optim.SGD),
        ("students.resnet8", students.resnet8),
        ("distill.losses.KDLoss", distill.losses.KDLoss),
    ],
)
def test_a_path_is_the_class_or_function_that_stands_there(path: str, target: object) -> None:
    assert resolve("key", path, TRUSTED) is target


@pytest.mark.parametrize(
    "path",
    [
        "torchvision.models.resnet18",
        "torchvision.transforms.v2.RandomHorizontalFlip",
        "timm.create_model",
        "timm.models.resnet18",
        "timm.optim.Lamb",
        "torchmetrics.Accuracy",
        "torchmetrics.classification.MulticlassAccuracy",
        "torch.optim.lr_scheduler.OneCycleLR",
        "torch.optim.swa_utils.AveragedModel",
        "torch.utils.data.TensorDataset",
        "torch.nn.TransformerEncoder",
        "pytorch_lightning.callbacks.ModelCheckpoint",
        "pytorch_lightning.callbacks.EMAWeightAveraging",
        "pytorch_lightning.callbacks.RichProgressBar",
        "pytorch_lightning.loggers.CSVLogger",
        "pytorch_lightning.loggers.TensorBoardLogger",
        "pytorch_lightning.loggers.WandbLogger",
        "pytorch_lightning.strategies.DDPStrategy",
        "pytorch_lightning.profilers.SimpleProfiler",
        "pytorch_lightning.plugins.environments.LightningEnvironment",
        "pytorch_lightning.plugins.io.AsyncCheckpointIO",
        "pytorch_lightning.cli.ReduceLROnPlateau",
    ],
)
def test_what_recipes_are_made_of_may_be_named(path: str) -> None:
    assert callable(resolve("key", path, TRUSTED))


@pytest.mark.parametrize(
    ("path", "message"),
    [
        (3, "needs a dotted path such as torch.nn.ReLU, got 3"),
        ("", "needs a dotted path"),
        ("torch", "needs a dotted path"),
        ("torch..nn", "needs a dotted path"),
        ("torch.nn.ReLU()", "needs a dotted path"),
        ("torch.nn.ReLU\n", "needs a dotted path"),
        ("x" * 1_000, r"needs a dotted path .* got 'x+\.\.\.$"),
        ("torchh.nn.ReLU", r"torchh\.nn\.ReLU is outside .*did you mean 'torch'"),
        ("torch.nn.RelU", "no 'RelU' in torch.nn, did you mean 'ReLU'"),
        ("torch.nnn.ReLU", "no 'nnn' in torch, did you mean"),
        ("torch.float32", "neither a class nor a function"),
        ("torch.nn", "neither a class nor a function"),
        ("torch.relu", "neither a class nor a function"),
        ("torch.nn.Module.eval", "torch.nn.Module is no module"),
        ("torch.os.system", r"leads through os, which may not be named"),
        ("torch.nn.functional.math.prod", r"leads through math"),
        ("distill.core.files.Path", "is defined in pathlib"),
        ("distill.core.files.csv.writer", "leads through csv"),
        ("torch.nn.modules.module._Global", "may not be named"),
        ("torch._dynamo.optimize", "may not be named"),
        ("distill.__main__.main", "may not be named"),
        ("torch.nn.modules.module.torch.hub.load", "leads through torch.hub"),
    ],
)
def test_the_rest_is_refused_by_name(path: object, message: str) -> None:
    with pytest.raises(RecipeError, match=f"^key: .*{message}"):
        resolve("key", path, TRUSTED)


@pytest.mark.parametrize("path", [*MODULES, *OBJECTS])
def test_what_is_listed_is_refused_and_not_imported(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    named = path if path in OBJECTS else f"{path}.load"
    monkeypatch.setattr("importlib.import_module", None)
    with pytest.raises(RecipeError, match=r"may not be named in a recipe|outside the trusted"):
        resolve("key", named, TRUSTED)


def test_listed_objects_are_refused_under_other_names(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("Load", torch.load), ("Hub", torch.hub.load), ("Jit", torch.jit.load)):
        monkeypatch.setattr(distill.losses, name, value, raising=False)
        with pytest.raises(RecipeError, match=f"losses.{name} may not be named in a recipe: it is"):
            resolve("key", f"distill.losses.{name}", TRUSTED)


def test_a_package_that_is_not_there_is_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(RecipeError, match="nowhere_at_all cannot be imported: No module named"):
        resolve("key", "nowhere_at_all.Net", (*TRUSTED, "nowhere_at_all"))
    (tmp_path / "halfway.py").write_text("import nowhere_at_all")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(RecipeError, match="halfway cannot be imported: No module named 'nowhere"):
        resolve("key", "halfway.Net", (*TRUSTED, "halfway"))
    assert "halfway" not in sys.modules


def network() -> nn.Module: ...
def either() -> nn.Linear | nn.Conv2d: ...
def anything() -> Any: ...
def tensor() -> torch.Tensor: ...
def unclear() -> "Nowhere": ...  # noqa: F821
def bare(): ...


@pytest.mark.parametrize(
    ("target", "kinds", "fitting"),
    [
        (nn.ReLU, (nn.ReLU,), True),
        (nn.Module, (nn.Module,), True),
        (dict, (dict,), False),
        (network, (nn.Module,), True),
        (either, (nn.Linear, nn.Conv2d), True),
        (tensor, (torch.Tensor,), False),
        (anything, (), False),
        (unclear, (), False),
        (bare, (), False),
    ],
)
def test_what_a_call_gives_is_what_its_annotation_says(
    target: Any, kinds: tuple[type, ...], fitting: bool
) -> None:
    assert gives(target) == kinds
    assert fits(target, [nn.Module]) is fitting
    assert not fits(target, [])
