"""Small networks for tests."""

from torch import Tensor, nn


class TinyNet(nn.Module):
    """Convolution, batch norm, in-place ReLU, dropout, classifier."""

    def __init__(self, width: int, num_classes: int, in_channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, width, 3, padding=1, stride=2)
        self.bn = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.dropout = nn.Dropout(0.1)
        self.fc = nn.Linear(width, num_classes)

    def forward(self, image: Tensor) -> Tensor:
        maps = self.relu(self.bn(self.conv(image)))
        return self.fc(self.dropout(maps.mean((2, 3))))


def tiny(width: int = 8, num_classes: int = 10, in_channels: int = 1) -> nn.Module:
    return TinyNet(width, num_classes, in_channels)


def plain(width: int = 8, num_classes: int = 10, in_channels: int = 1) -> nn.Module:
    """A network whose output for an image depends on that image alone, in training too."""
    convolution = nn.Conv2d(in_channels, width, 3, padding=1, stride=2)
    pooled = nn.Sequential(nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return nn.Sequential(convolution, pooled, nn.Linear(width, num_classes))
