"""Vision transformers small enough for 32x32 images, from timm's classes.

``vit32`` (Dosovitskiy et al., ICLR 2021, arXiv 2010.11929) and ``deit32`` (Touvron et al., ICML
2021, arXiv 2012.12877) have six blocks of width 128 on patches of 4x4; ``swin32`` (Liu et al., ICCV
2021, arXiv 2103.14030) has three stages of two blocks of width 48, 96 and 192, with windows of 4x4
positions on patches of 2x2. No dropout and no stochastic depth. Images have one fixed size, so that
8x8 digits want ``image_size=8, patch_size=1`` or ``2``.

Paths to tap (no ReLU anywhere, so there is no pre-ReLU input):

- ``vit32``: tokens (b, 1 + n, 128) behind block i, ``blocks.0`` to ``blocks.5``, the class token
  first; the n patches row by row, 8x8 of them for 32x32. Embedding (b, 128): ``head:input``
- ``deit32``: the same with two prefix tokens, class and distillation. Logits of each alone:
  ``head`` and ``head_dist``; embeddings (b, 128): ``head:input`` and ``head_dist:input``
- ``swin32``: ``layers.0``, ``layers.1``, ``layers.2``, channels last: (b, 16, 16, 48),
  (b, 8, 8, 96) and (b, 4, 4, 192) for 32x32. Embedding (b, 192): ``head.fc:input``

``distill.losses.MapAdaptor`` turns tokens and channels-last maps into maps (b, c, h, w).
"""

from torch import nn

from students.checks import check_sizes
from students.image_size import needs_size

WIDTH, DEPTH, HEADS = 128, 6, 4


def vit32(
    num_classes: int, in_channels: int = 3, image_size: int = 32, patch_size: int = 4
) -> nn.Module:
    """Vision transformer that classifies by its class token.

    Args:
        num_classes: Classes; at least 1.
        in_channels: Channels of an image; at least 1.
        image_size: Height and width of the images, the only size it takes.
        patch_size: Height and width of a patch; divides the image size.

    Raises:
        ValueError: If a number is below 1 or the patches do not fill the image; in the forward
            pass, if the images have another size.

    Example:
        >>> import torch
        >>> digits = torch.zeros(2, 1, 8, 8)
        >>> vit32(num_classes=10, in_channels=1, image_size=8, patch_size=2)(digits).shape
        torch.Size([2, 10])
    """
    from timm.models.vision_transformer import VisionTransformer

    _check(num_classes, in_channels, image_size, patch_size)
    network: nn.Module = VisionTransformer(
        img_size=image_size,
        patch_size=patch_size,
        in_chans=in_channels,
        num_classes=num_classes,
        embed_dim=WIDTH,
        depth=DEPTH,
        num_heads=HEADS,
    )
    needs_size(network, "vit32", image_size)
    return network


def deit32(
    num_classes: int, in_channels: int = 3, image_size: int = 32, patch_size: int = 4
) -> nn.Module:
    """Vision transformer with a distillation token and a second head that reads it.

    Its logits are the mean of both heads', in training as in evaluation; terms reach each head by
    the paths ``head`` and ``head_dist``. Arguments and errors as :func:`vit32`.

    Example:
        >>> sum(p.numel() for p in deit32(num_classes=10).head_dist.parameters())
        1290
    """
    from timm.models.deit import VisionTransformerDistilled

    _check(num_classes, in_channels, image_size, patch_size)
    network: nn.Module = VisionTransformerDistilled(  # type: ignore[no-untyped-call]
        img_size=image_size,
        patch_size=patch_size,
        in_chans=in_channels,
        num_classes=num_classes,
        embed_dim=WIDTH,
        depth=DEPTH,
        num_heads=HEADS,
    )
    needs_size(network, "deit32", image_size)
    return network


def swin32(
    num_classes: int, in_channels: int = 3, image_size: int = 32, patch_size: int = 2
) -> nn.Module:
    """Transformer with attention in shifted windows, averaged over positions at the end.

    Arguments and errors as :func:`vit32`.

    Example:
        >>> swin32(num_classes=10).head.fc.in_features
        192
    """
    from timm.models.swin_transformer import SwinTransformer

    _check(num_classes, in_channels, image_size, patch_size)
    network: nn.Module = SwinTransformer(
        img_size=image_size,
        patch_size=patch_size,
        in_chans=in_channels,
        num_classes=num_classes,
        embed_dim=48,
        depths=(2, 2, 2),
        num_heads=(2, 4, 8),
        window_size=4,
        drop_path_rate=0.0,
    )
    needs_size(network, "swin32", image_size)
    return network


def _check(num_classes: int, in_channels: int, image_size: int, patch_size: int) -> None:
    check_sizes(num_classes, in_channels)
    for name, value in (("image_size", image_size), ("patch_size", patch_size)):
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}")
    if image_size % patch_size:
        raise ValueError(
            f"image_size must be a multiple of patch_size {patch_size}, got {image_size}"
        )
