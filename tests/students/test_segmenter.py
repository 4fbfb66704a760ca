"""The segmenter: sizes, gradients to every part, and what it refuses."""

import pytest
import torch

import students


@pytest.mark.parametrize("backbone", ["resnet8", "resnet8x4", "timm/lcnet_035"])
def test_logits_have_the_images_size(backbone: str) -> None:
    network = students.segmenter(backbone, num_classes=5, in_channels=3)
    image = torch.rand(2, 3, 40, 56)
    logits = network(image)
    assert logits.shape == (2, 5, 40, 56)
    logits.square().mean().backward()
    missed = [name for name, value in network.named_parameters() if value.grad is None]
    assert missed == []


def test_wrong_arguments_are_told() -> None:
    with pytest.raises(ValueError, match=r"^channels must be at least 1, got 0$"):
        students.segmenter("resnet8", 5, channels=0)
    with pytest.raises(ValueError, match=r"^backbone must be"):
        students.segmenter("vgg8", 5)
