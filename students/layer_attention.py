"""ResNets with attention across layers (Fang et al., ICLR 2023, arXiv 2302.03985).

In the paper a layer sends a query to all layers up to it and adds the mix of their values to its
own output. This small form does so once, in front of the classifier: the layers are the three
stages, each averaged over its positions; query, keys and values are linear in those averages; the
shares are a softmax of scaled dot products.

Paths to tap are those of the plain ResNet; the embedding (b, 64) at ``fc:input`` is behind the
attention, the last stage's own average is ``attention.query:input``.
"""

from collections.abc import Sequence

import torch
from einops import einsum
from torch import Tensor, nn

from students.checks import check_sizes
from students.resnet import CifarResNet

WIDTHS = (16, 16, 32, 64)


class LayerAttention(nn.Module):
    """Attends from the last stage over all stages.

    Args:
        widths: Channels of the stages, shallow to deep.
    """

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        width = widths[-1]
        self.query = nn.Linear(width, width)
        self.keys = nn.ModuleList(nn.Linear(each, width) for each in widths)
        self.values = nn.ModuleList(nn.Linear(each, width) for each in widths)

    def forward(self, stages: Sequence[Tensor]) -> Tensor:
        """The last stage's average (b, c) plus the attended ones, for maps (b, c_i, h_i, w_i)."""
        averages = [maps.mean((2, 3)) for maps in stages]
        pairs = zip(self.keys, self.values, averages, strict=True)
        made = [(key(average), value(average)) for key, value, average in pairs]
        keys, values = (torch.stack(each, dim=1) for each in zip(*made, strict=True))
        scores = einsum(self.query(averages[-1]), keys, "b c, b s c -> b s")
        shares = (scores / keys.shape[2] ** 0.5).softmax(1)
        attended: Tensor = einsum(shares, values, "b s, b s c -> b c")
        return averages[-1] + attended


class LayerAttentionResNet(nn.Module):
    """A CIFAR ResNet with layer attention in place of its global average pooling."""

    def __init__(self, blocks: int, num_classes: int, in_channels: int) -> None:
        super().__init__()
        plain = CifarResNet(blocks, WIDTHS, num_classes, in_channels)
        self.conv1, self.bn1, self.relu = plain.conv1, plain.bn1, plain.relu
        self.layer1, self.layer2, self.layer3 = plain.layer1, plain.layer2, plain.layer3
        self.attention = LayerAttention(WIDTHS[1:])
        self.fc = plain.fc

    def forward(self, image: Tensor) -> Tensor:
        """Logits (b, k) of images (b, c, h, w)."""
        first = self.layer1(self.relu(self.bn1(self.conv1(image))))
        second = self.layer2(first)
        logits: Tensor = self.fc(self.attention([first, second, self.layer3(second)]))
        return logits


def layer_attention_resnet8(num_classes: int, in_channels: int = 3) -> nn.Module:
    """ResNet with 8 layers and attention across its stages.

    Args:
        num_classes: Classes; at least 1.
        in_channels: Channels of an image; at least 1.

    Raises:
        ValueError: If an argument is below 1.

    Example:
        >>> import torch
        >>> layer_attention_resnet8(num_classes=10)(torch.zeros(2, 3, 32, 32)).shape
        torch.Size([2, 10])
    """
    check_sizes(num_classes, in_channels)
    return LayerAttentionResNet(1, num_classes, in_channels)


def layer_attention_resnet20(num_classes: int, in_channels: int = 3) -> nn.Module:
    """ResNet with 20 layers and attention across its stages. Raises as the one with 8."""
    check_sizes(num_classes, in_channels)
    return LayerAttentionResNet(3, num_classes, in_channels)
