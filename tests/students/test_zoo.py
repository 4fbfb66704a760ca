from typing import Any

import pytest
import timm
import torch
from torch import Tensor, nn
from torchvision import models

from students import timm_model, torchvision_model


@pytest.fixture
def offline_timm(monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """timm without its download: remembers the arguments and leaves the weights random."""
    asked: dict[str, object] = {}

    def create(name: str, pretrained: bool, **arguments: int) -> nn.Module:
        asked.update(arguments, name=name, pretrained=pretrained)
        return real(name, pretrained=False, **arguments)

    real = timm.create_model
    monkeypatch.setattr(timm, "create_model", create)
    return asked


@pytest.fixture
def offline_torchvision(monkeypatch: pytest.MonkeyPatch) -> dict[str, Tensor]:
    """torchvision without its download: gives weights of its own shapes, all ones."""
    ones = {k: torch.ones_like(v) for k, v in models.squeezenet1_1().state_dict().items()}
    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", lambda *_, **__: ones)
    return ones


def test_timm_model_has_the_classes_and_channels_asked_for() -> None:
    model = timm_model("test_resnet", num_classes=7, in_channels=1).eval()
    assert model(torch.zeros(2, 1, 32, 32)).shape == (2, 7)


def test_random_weights_carry_no_normalization() -> None:
    assert not hasattr(timm_model("test_resnet", num_classes=7), "input_normalization")
    assert not hasattr(torchvision_model("squeezenet1_1", 7), "input_normalization")


@pytest.mark.parametrize(
    ("name", "mean", "std"),
    [
        ("resnet10t", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        ("test_resnet.r160_in1k", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    ],
)
def test_pretrained_timm_model_carries_its_normalization(
    offline_timm: dict[str, object], name: str, mean: tuple[float, ...], std: tuple[float, ...]
) -> None:
    model = timm_model(name, num_classes=7, pretrained=True)
    assert offline_timm == {"name": name, "pretrained": True, "num_classes": 7, "in_chans": 3}
    assert model.input_normalization == (mean, std)


def test_normalization_is_averaged_for_other_channels(offline_timm: dict[str, object]) -> None:
    model = timm_model("resnet10t", num_classes=7, pretrained=True, in_channels=1)
    mean, std = model.input_normalization
    assert mean == pytest.approx(((0.485 + 0.456 + 0.406) / 3,))
    assert std == pytest.approx(((0.229 + 0.224 + 0.225) / 3,))


@pytest.mark.parametrize(
    ("name", "nearest"),
    [("resnet10", "resnet10t"), ("test_resnet.r160", "test_resnet.r160_in1k")],
)
def test_unknown_timm_name_gets_the_nearest(name: str, nearest: str) -> None:
    message = f"^name '{name}' is no model of timm, the nearest are .*{nearest}"
    with pytest.raises(ValueError, match=message):
        timm_model(name, num_classes=7)


def test_timm_model_never_takes_names_of_hub_repositories() -> None:
    with pytest.raises(ValueError, match=r"^name 'hf-hub:some/repo' is no model of timm"):
        timm_model("hf-hub:some/repo", num_classes=7)


def test_timms_keywords_are_passed_on() -> None:
    vit = timm_model("test_vit", 7, img_size=32, patch_size=8, drop_rate=0.3, drop_path_rate=0.2)
    assert vit.patch_embed.grid_size == (4, 4)
    assert vit.head_drop.p == 0.3
    assert [block.drop_path1.drop_prob for block in vit.blocks[1:]][-1] == pytest.approx(0.2)
    assert vit.eval()(torch.zeros(2, 3, 32, 32)).shape == (2, 7)


def test_what_is_not_asked_for_is_left_to_timm(offline_timm: dict[str, object]) -> None:
    timm_model("test_resnet", 7, drop_rate=0.0)
    expected = {"name": "test_resnet", "pretrained": False, "num_classes": 7, "in_chans": 3}
    assert offline_timm == expected | {"drop_rate": 0.0}


@pytest.mark.parametrize(
    ("name", "keywords", "message"),
    [
        (
            "test_resnet",
            {"img_size": 32},
            "^test_resnet cannot be built with img_size 32: it takes",
        ),
        ("test_vit", {"img_size": 0}, "^img_size must be at least 1, got 0$"),
        ("test_vit", {"patch_size": 0}, "^patch_size must be at least 1, got 0$"),
        ("test_vit", {"drop_rate": 1.5}, r"^drop_rate must be in 0\.\.1, got 1\.5$"),
        ("test_vit", {"drop_path_rate": -0.1}, r"^drop_path_rate must be in 0\.\.1, got -0\.1$"),
    ],
)
def test_keywords_that_do_not_fit_are_refused(
    name: str, keywords: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        timm_model(name, 7, **keywords)


def test_unknown_torchvision_name_gets_the_nearest() -> None:
    message = "^name 'squeezenet1_2' is no model of torchvision, the nearest are squeezenet1_"
    with pytest.raises(ValueError, match=message):
        torchvision_model("squeezenet1_2", num_classes=7)


def test_name_like_nothing_known_gets_no_suggestion() -> None:
    with pytest.raises(ValueError, match=r"^name '#' is no model of torchvision$"):
        torchvision_model("#", num_classes=7)


def test_segmentation_models_are_no_students_by_this_name() -> None:
    with pytest.raises(ValueError, match=r"^name 'fcn_resnet50' is no model of torchvision"):
        torchvision_model("fcn_resnet50", num_classes=7)


def test_torchvision_model_has_the_classes_asked_for() -> None:
    assert torchvision_model("squeezenet1_1", 7).eval()(torch.zeros(2, 3, 64, 64)).shape == (2, 7)


@pytest.mark.parametrize("weights", ["DEFAULT", "IMAGENET1K_V1"])
def test_torchvision_weights_are_loaded_with_their_normalization(
    offline_torchvision: dict[str, Tensor], weights: str
) -> None:
    model = torchvision_model("squeezenet1_1", 1000, weights=weights)
    assert all(torch.equal(model.state_dict()[k], v) for k, v in offline_torchvision.items())
    assert model.input_normalization == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def test_unknown_torchvision_weights_are_refused() -> None:
    message = "^weights 'IMAGENET' are not among squeezenet1_1's: IMAGENET1K_V1, DEFAULT$"
    with pytest.raises(ValueError, match=message):
        torchvision_model("squeezenet1_1", 1000, weights="IMAGENET")


def test_torchvision_classes_must_be_those_of_the_weights() -> None:
    message = "^num_classes must be 1000 with weights 'DEFAULT', got 7$"
    with pytest.raises(ValueError, match=message):
        torchvision_model("squeezenet1_1", 7, weights="DEFAULT")


@pytest.mark.parametrize(
    ("arguments", "start"),
    [({"num_classes": 0}, "num_classes"), ({"num_classes": 2, "in_channels": 0}, "in_channels")],
)
def test_sizes_below_one_are_refused_by_name(arguments: dict[str, int], start: str) -> None:
    with pytest.raises(ValueError, match=f"^{start} must be at least 1, got 0$"):
        timm_model("test_resnet", **arguments)


def test_torchvision_refuses_models_without_classes() -> None:
    with pytest.raises(ValueError, match=r"^num_classes must be at least 1, got 0$"):
        torchvision_model("squeezenet1_1", num_classes=0)


@pytest.mark.parametrize("name", ["googlenet", "inception_v3"])
def test_torchvision_models_of_several_outputs_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"has several outputs in training, students.{name} has"):
        torchvision_model(name, num_classes=10)
