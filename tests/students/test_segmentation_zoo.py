"""Segmenters of other libraries: logits of the image's size, and what is wrong in a line."""

import sys
from typing import Any

import pytest
import torch
from torch import nn
from torchvision import models

from students import smp_model, torchvision_segmenter

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


@pytest.mark.parametrize(
    ("architecture", "encoder"),
    [("unet", "tu-test_resnet"), ("fpn", "resnet18")],
)
def test_smp_model_gives_logits_of_the_images_size(architecture: str, encoder: str) -> None:
    model = smp_model(architecture, encoder, num_classes=5, in_channels=1).eval()
    assert model(torch.zeros(1, 1, 64, 32)).shape == (1, 5, 64, 32)
    assert not hasattr(model, "input_normalization")


def test_pretrained_smp_model_carries_its_normalization(monkeypatch: pytest.MonkeyPatch) -> None:
    import segmentation_models_pytorch as smp

    asked: dict[str, Any] = {}

    def create(architecture: str, **arguments: object) -> nn.Module:
        asked.update(arguments, architecture=architecture)
        return nn.Identity()

    facts = {"mean": list(IMAGENET[0]), "std": list(IMAGENET[1]), "input_range": [0, 1]}
    monkeypatch.setattr(smp, "create_model", create)
    monkeypatch.setattr(smp.encoders, "get_preprocessing_params", lambda *_: facts)
    model = smp_model("fpn", "resnet18", num_classes=5, pretrained=True)
    assert (asked["encoder_weights"], asked["classes"]) == ("imagenet", 5)
    assert model.input_normalization == IMAGENET
    facts["input_range"] = [0, 255]
    with pytest.raises(ValueError, match=r"weights of resnet18 are not for RGB images in 0\.\.1"):
        smp_model("fpn", "resnet18", num_classes=5, pretrained=True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("unett", "resnet18", 4), "'unett' is no model .*, the nearest are unet"),
        (("unet", "resnet17", 4), "'resnet17' is no model .* resnet1"),
        (("unet", "tu-nothing_at_all", 4), "^unet cannot be built on tu-nothing_at_all: "),
        (("unet", "resnet18", 0), "num_classes must be at least 1"),
    ],
)
def test_wrong_smp_models_are_told(arguments: tuple[str, str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        smp_model(*arguments)


def test_a_missing_package_is_told_in_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "segmentation_models_pytorch", None)
    needed = r"^smp_model needs segmentation-models-pytorch: pip install 'distill\[dense\]'$"
    with pytest.raises(ValueError, match=needed):
        smp_model("unet", "resnet18", 4)


def test_torchvision_segmenter_gives_logits_alone() -> None:
    model = torchvision_segmenter("lraspp_mobilenet_v3_large", num_classes=5).eval()
    assert model(torch.zeros(1, 3, 64, 48)).shape == (1, 5, 64, 48)
    assert not hasattr(model, "input_normalization")


def test_pretrained_torchvision_segmenter_has_no_auxiliary_output(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    name = "deeplabv3_mobilenet_v3_large"
    build: Any = models.get_model
    whole = build(name, weights_backbone=None, aux_loss=True, num_classes=21)
    monkeypatch.setattr(
        "torchvision.models._api.load_state_dict_from_url", lambda *_, **__: whole.state_dict()
    )
    model = torchvision_segmenter(name, 21, weights="DEFAULT").eval()
    assert not [key for key in model.state_dict() if "aux" in key]
    assert torch.equal(
        model.state_dict()["network.classifier.4.weight"], whole.state_dict()["classifier.4.weight"]
    )
    assert model.input_normalization == IMAGENET


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "lrasp_mobilenet"}, "is no model of torchvision, the nearest are lraspp"),
        ({"weights": "IMAGENET1K_V1"}, "are not among lraspp_mobilenet_v3_large's: COCO_WITH"),
        ({"weights": "DEFAULT"}, "num_classes must be 21 with weights 'DEFAULT', got 5"),
        ({"backbone_weights": "NONE_SUCH"}, "backbone_weights 'NONE_SUCH' are not among"),
    ],
)
def test_wrong_torchvision_segmenters_are_told(arguments: dict[str, Any], message: str) -> None:
    given = {"name": "lraspp_mobilenet_v3_large", "num_classes": 5} | arguments
    with pytest.raises(ValueError, match=message):
        torchvision_segmenter(**given)
