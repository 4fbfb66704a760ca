import pytest
import torch

from distill.wiring.tap import Taps
from students import headless, resnet8, vit32


@pytest.mark.parametrize(
    ("make", "head", "width"),
    [(lambda: resnet8(10), "fc", 64), (lambda: vit32(10, patch_size=8), "head", 128)],
)
def test_it_gives_what_its_classifier_was_given(make, head: str, width: int) -> None:
    network = make().eval()
    names = {key for key in network.state_dict() if not key.startswith(f"{head}.")}
    image = torch.randn(2, 3, 32, 32)
    taps = Taps(network, [f"{head}:input"])
    network(image)
    expected = taps.take()[f"{head}:input"]
    taps.remove()
    network.input_normalization, network.trained_classes = ((0.5,), (1.0,)), ("a", "b")
    without = headless(network, head)
    assert without is network
    assert torch.equal(without(image), expected)
    assert expected.shape == (2, width)
    assert set(without.state_dict()) == names
    assert without.input_normalization == ((0.5,), (1.0,))
    assert not hasattr(without, "trained_classes")


def test_a_head_that_is_not_there_is_told_with_the_last_layer() -> None:
    message = r"^head 'head' is no layer of CifarResNet, its last one is fc$"
    with pytest.raises(ValueError, match=message):
        headless(resnet8(10), "head")
