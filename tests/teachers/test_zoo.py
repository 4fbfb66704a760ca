import argparse
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import nn

from teachers import timm_model


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """What timm was asked for; the answer has random weights instead of downloaded ones."""
    asked: dict[str, object] = {}

    def create(name: str, pretrained: bool, **arguments: int) -> nn.Module:
        asked.update(arguments, name=name, pretrained=pretrained)
        return real(name, pretrained=False, **arguments)

    real = timm.create_model
    monkeypatch.setattr(timm, "create_model", create)
    return asked


def test_takes_timms_weights_and_their_classes_by_default(asked: dict[str, object]) -> None:
    model = timm_model("test_resnet")
    expected = {"name": "test_resnet", "pretrained": True, "num_classes": 1000, "in_chans": 3}
    assert asked == expected
    assert model.input_normalization == ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


def test_random_weights_take_any_classes_and_carry_no_normalization() -> None:
    model = timm_model("test_resnet", pretrained=False, num_classes=7, in_channels=1).eval()
    assert model(torch.zeros(2, 1, 32, 32)).shape == (2, 7)
    assert not hasattr(model, "input_normalization")


def test_random_classifier_over_pretrained_weights_is_refused(asked: dict[str, object]) -> None:
    message = r"^num_classes must be 1000 with the weights of test_resnet, got 7$"
    with pytest.raises(ValueError, match=message):
        timm_model("test_resnet", num_classes=7)
    assert asked == {}


def test_weights_without_a_classifier_are_refused(asked: dict[str, object]) -> None:
    name = "vit_small_patch14_dinov2"
    message = (
        rf"^name '{name}' has weights without a classifier, so it gives no logits: num_classes: 0"
    )
    for classes in (None, 10):
        with pytest.raises(ValueError, match=message):
            timm_model(name, num_classes=classes)
    assert asked == {}


@pytest.mark.parametrize("name", ["test_vit", "vit_small_patch14_dinov2"])
def test_no_classes_give_features(name: str, asked: dict[str, object]) -> None:
    model = timm_model(name, num_classes=0, img_size=28 if "dino" in name else 32).eval()
    assert asked["num_classes"] == 0
    side = 28 if "dino" in name else 32
    assert model(torch.zeros(2, 3, side, side)).shape == (2, model.num_features)


@pytest.fixture(params=["safetensors", "pth", "wrapped"])
def saved(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, nn.Module]:
    """A file of a model's weights, and the model."""
    model = timm_model("test_resnet", pretrained=False, num_classes=7).eval()
    if request.param == "safetensors":
        save_file(model.state_dict(), tmp_path / "w.safetensors")
        return str(tmp_path / "w.safetensors"), model
    state = {f"module.{name}": value for name, value in model.state_dict().items()}
    wrapped = {"state_dict": state, "args": argparse.Namespace(lr=1)}
    torch.save(wrapped if request.param == "wrapped" else model.state_dict(), tmp_path / "w.pth")
    return str(tmp_path / "w.pth"), model


def test_a_checkpoint_takes_the_place_of_the_download(
    saved: tuple[str, nn.Module], asked: dict[str, object]
) -> None:
    path, model = saved
    filled = timm_model("test_resnet", num_classes=7, checkpoint=path).eval()
    assert asked["pretrained"] is False
    images = torch.rand(2, 3, 32, 32)
    assert torch.equal(filled(images), model(images))
    assert filled.input_normalization == ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


def test_a_classifier_of_another_size_is_left_out_when_told(saved: tuple[str, nn.Module]) -> None:
    path, model = saved
    message = (
        r"of another shape: fc\.weight.*; new_classifier: true leaves the file's classifier out$"
    )
    with pytest.raises(ValueError, match=message):
        timm_model("test_resnet", num_classes=5, checkpoint=path)
    filled = timm_model("test_resnet", num_classes=5, checkpoint=path, new_classifier=True).eval()
    images = torch.rand(2, 3, 32, 32)
    assert filled(images).shape == (2, 5)
    assert torch.equal(filled.forward_features(images), model.forward_features(images))


def test_features_leave_the_classifier_of_a_file_out(saved: tuple[str, nn.Module]) -> None:
    path, model = saved
    filled = timm_model("test_resnet", num_classes=0, checkpoint=path).eval()
    images = torch.rand(2, 3, 32, 32)
    expected = model.forward_head(model.forward_features(images), pre_logits=True)
    assert torch.equal(filled(images), expected)


def test_a_file_of_another_model_is_refused_by_its_name(tmp_path: Path) -> None:
    torch.save({"weight": torch.zeros(2)}, tmp_path / "other.pth")
    message = r"other\.pth: 0 of \d+ tensors match ResNet; \d+ missing: .*1 unexpected: weight$"
    with pytest.raises(ValueError, match=message):
        timm_model("test_resnet", num_classes=7, checkpoint=str(tmp_path / "other.pth"))


@pytest.mark.parametrize("arguments", [{}, {"num_classes": 0, "checkpoint": "w.pth"}])
def test_a_new_classifier_needs_an_old_one(arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"^new_classifier needs a checkpoint whose classifier"):
        timm_model("test_resnet", new_classifier=True, **arguments)


def test_a_negative_number_of_classes_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^num_classes must be at least 0, got -1$"):
        timm_model("test_resnet", pretrained=False, num_classes=-1)


def test_unknown_name_gets_the_nearest() -> None:
    message = r"^name 'test_resnets' is no model of timm, the nearest are test_resnet"
    with pytest.raises(ValueError, match=message):
        timm_model("test_resnets")
