import pytest
import timm
import torch
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
    message = rf"^name '{name}' has weights without a classifier, so it gives no logits$"
    with pytest.raises(ValueError, match=message):
        timm_model(name)
    assert asked == {}


def test_unknown_name_gets_the_nearest() -> None:
    message = r"^name 'test_resnets' is no model of timm, the nearest are test_resnet"
    with pytest.raises(ValueError, match=message):
        timm_model("test_resnets")
