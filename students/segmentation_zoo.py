"""Segmenters of segmentation-models-pytorch and of torchvision, by name.

They give logits (b, k, h, w) of the image's size. One with pretrained weights carries the
``input_normalization`` that these expect, as those of :mod:`students.zoo` do.
"""

from typing import Any, cast

from torch import Tensor, nn

from students.checks import check_sizes
from students.zoo import check_name, normalization_of

_TIMM = "tu-"


def smp_model(
    architecture: str,
    encoder: str,
    num_classes: int,
    in_channels: int = 3,
    pretrained: bool = False,
) -> nn.Module:
    """Build a segmenter of segmentation-models-pytorch, for images of sides divisible by 32.

    Paths to tap: ``decoder``, and ``segmentation_head``, the logits.

    Args:
        architecture: Such as ``unet``, ``fpn``, ``deeplabv3plus``, ``segformer`` or ``upernet``.
        encoder: Such as ``resnet18`` or ``mit_b0``; ``tu-NAME`` is one of timm.
        num_classes: Classes.
        in_channels: Channels of an image.
        pretrained: Whether to download the encoder's ImageNet weights.

    Raises:
        ValueError: If there is no such model, with the nearest names, if its package is missing, or
            a number is below 1.

    Example:
        >>> import torch
        >>> model = smp_model("fpn", "resnet18", num_classes=4).eval()
        >>> model(torch.zeros(1, 3, 64, 64)).shape
        torch.Size([1, 4, 64, 64])
    """
    check_sizes(num_classes, in_channels)
    try:
        import segmentation_models_pytorch as smp
    except ImportError as error:
        package = "segmentation-models-pytorch"
        raise ValueError(f"smp_model needs {package}: pip install 'distill[dense]'") from error
    check_name(architecture, "segmentation-models-pytorch", list(smp.MODEL_ARCHITECTURES_MAPPING))
    if not encoder.startswith(_TIMM):
        check_name(encoder, "segmentation-models-pytorch", smp.encoders.get_encoder_names())
    weights = "imagenet" if pretrained else None
    try:
        model: nn.Module = smp.create_model(
            architecture,
            encoder_name=encoder,
            encoder_weights=weights,
            in_channels=in_channels,
            classes=num_classes,
        )
    except (KeyError, ValueError, TypeError, AttributeError, RuntimeError) as error:
        told = " ".join(str(error).split())[:200]
        raise ValueError(f"{architecture} cannot be built on {encoder}: {told}") from error
    if pretrained:
        facts: dict[str, Any] = smp.encoders.get_preprocessing_params(encoder, weights)
        if facts.get("input_space", "RGB") != "RGB" or facts.get("input_range", [0, 1])[-1] != 1:
            raise ValueError(f"the weights of {encoder} are not for RGB images in 0..1")
        found = normalization_of(facts["mean"], facts["std"], in_channels)
        model.input_normalization = found  # type: ignore[assignment]
    return model


class TorchvisionSegmenter(nn.Module):
    """The logits of a segmenter of torchvision, which gives a dict.

    Paths to tap: ``network.classifier``, the logits before they are enlarged (b, k, h', w');
    ``network.backbone`` gives a dict and cannot be tapped, layers in it can.

    Args:
        network: Of ``torchvision.models.segmentation``.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> Tensor:
        """Logits (b, k, h, w) of images (b, c, h, w)."""
        return cast(Tensor, self.network(image)["out"])


def torchvision_segmenter(
    name: str,
    num_classes: int,
    weights: str | None = None,
    backbone_weights: str | None = None,
) -> nn.Module:
    """Build a segmenter of torchvision, for images of three channels, without auxiliary outputs.

    Args:
        name: As in ``torchvision.models.list_models(module=torchvision.models.segmentation)``.
        num_classes: Classes; must be the weights' own where weights are given.
        weights: A weights name such as ``DEFAULT``, downloaded; None: random weights.
        backbone_weights: The same for the backbone alone, such as ``IMAGENET1K_V1``.

    Raises:
        ValueError: If torchvision has no such model or weights, or the number of classes does not
            fit.

    Example:
        >>> import torch
        >>> model = torchvision_segmenter("lraspp_mobilenet_v3_large", num_classes=4).eval()
        >>> model(torch.zeros(1, 3, 64, 64)).shape
        torch.Size([1, 4, 64, 64])
    """
    from torchvision import models

    check_sizes(num_classes, 1)
    check_name(name, "torchvision", models.list_models(module=models.segmentation))
    offered = models.get_model_weights(name)
    if weights is not None:
        if weights not in offered.__members__:
            known = ", ".join(offered.__members__)
            raise ValueError(f"weights {weights!r} are not among {name}'s: {known}")
        own = len(offered[weights].meta["categories"])
        if num_classes != own:
            raise ValueError(
                f"num_classes must be {own} with weights {weights!r}, got {num_classes}"
            )
    try:
        network: Any = models.get_model(
            name, weights=weights, num_classes=num_classes, weights_backbone=backbone_weights
        )
    except KeyError as error:
        told = f"backbone_weights {backbone_weights!r} are not among those of {name}'s backbone"
        raise ValueError(told) from error
    if weights is not None and hasattr(network, "aux_classifier"):
        network.aux_classifier = None
    model = TorchvisionSegmenter(network)
    if weights is not None or backbone_weights is not None:
        transforms = offered.DEFAULT.transforms()
        found = normalization_of(transforms.mean, transforms.std, 3)
        model.input_normalization = found  # type: ignore[assignment]
    return model
