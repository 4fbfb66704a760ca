"""FGD, focal and global distillation: Yang et al., CVPR 2022, arXiv 2111.11837.

Differences of maps count by the teacher's attention, apart for objects, each of the same weight
whatever its size, and for the ground; attentions and global contexts are compared too. A cell is an
object's if its box touches the cell; the authors' code adds another row and column. Of the context
block's convolutions the last begins at zero, so that contexts begin as the maps themselves.
"""

import torch
from torch import Tensor, nn

from distill.losses.checks import at_least_float32, channels, maps, not_negative, positive


def fgd_loss(
    student: Tensor,
    teacher: Tensor,
    boxes: Tensor,
    temperature: float = 0.5,
    foreground: float = 1e-3,
    background: float = 5e-4,
    attention: float = 5e-4,
) -> Tensor:
    """The focal part: differences by the teacher's attention, and the difference of attentions.

    With A_s = h w softmax over places of (the mean over channels of |F|) / T, and A_c = c softmax
    over channels of (the mean over places of |F|) / T: foreground times the sum over objects of
    A_s A_c (F_t - F_s)^2 divided by the object's cells, background times the same of the ground,
    and attention times the sums of |A_s - A_s'| and |A_c - A_c'|; sums over channels and places,
    the mean over images.

    Args:
        student: Maps (b, c, h, w); project them first where the channels differ.
        teacher: Maps (b, c, h, w); no gradient flows to them.
        boxes: (m, 5): the row in the batch, and the left, top, right and bottom edge as shares of
            the image. A cell of several boxes belongs to the smallest.
        temperature: T; positive.
        foreground: Weight of objects.
        background: Weight of the ground.
        attention: Weight of attentions.

    Raises:
        ValueError: If maps or boxes have the wrong shape, or a number is out of range.

    Example:
        >>> quarter = torch.tensor([[0.0, 0.0, 0.0, 0.5, 0.5]])
        >>> f"{fgd_loss(torch.ones(1, 1, 2, 2), torch.zeros(1, 1, 2, 2), quarter):.4f}"
        '0.0015'
    """
    maps(student, teacher)
    if student.shape != teacher.shape:
        shapes = f"got shapes {tuple(student.shape)} and {tuple(teacher.shape)}"
        raise ValueError(f"student and teacher need as many channels, {shapes}")
    if boxes.ndim != 2 or boxes.shape[1] != 5:
        raise ValueError(f"boxes need the shape (m, 5), got {tuple(boxes.shape)}")
    if boxes.device.type == "cpu" and len(boxes) and boxes[:, 0].max() >= len(student):
        row = int(boxes[:, 0].max())
        raise ValueError(f"boxes need rows of the batch, got row {row} of {len(student)} images")
    own, other = at_least_float32(student), at_least_float32(teacher.detach())
    objects = object_weights(boxes, other)
    ground = (objects == 0).to(other.dtype)
    ground = ground / ground.sum((1, 2), keepdim=True).clamp_min(1)
    places, strengths = _attentions(other, temperature)
    weight = foreground * objects + background * ground
    gap = (weight * places)[:, None] * strengths[:, :, None, None] * (other - own).square()
    own_places, own_strengths = _attentions(own, temperature)
    apart = (own_places - places).abs().sum() + (own_strengths - strengths).abs().sum()
    return (gap.sum() + attention * apart) / len(own)


class FGDLoss(nn.Module):
    """FGD with its context blocks, and a projection where the channels differ.

    FCOS students use a temperature of 0.8 and weights 1.6 times as large. Sums over channels and
    places grow with the maps, so the weights fit maps of about the authors' sizes.

    Args:
        student_channels: Channels of the student's maps.
        teacher_channels: Channels of the teacher's maps.
        temperature: Of the attentions; positive.
        foreground: Weight of objects.
        background: Weight of the ground.
        attention: Weight of attentions.
        context: Weight of global contexts; 0 leaves them out.

    Raises:
        ValueError: If a number is out of range.

    Example:
        >>> loss, boxes = FGDLoss(16, 32), torch.tensor([[1.0, 0.1, 0.1, 0.6, 0.9]])
        >>> loss(torch.rand(2, 16, 8, 8), torch.rand(2, 32, 8, 8), boxes).shape
        torch.Size([])
    """

    def __init__(
        self,
        student_channels: int,
        teacher_channels: int,
        temperature: float = 0.5,
        foreground: float = 1e-3,
        background: float = 5e-4,
        attention: float = 5e-4,
        context: float = 5e-6,
    ) -> None:
        super().__init__()
        channels(student_channels, teacher_channels)
        self.temperature = positive("temperature", temperature)
        self.foreground = not_negative("foreground", foreground)
        self.background = not_negative("background", background)
        self.attention = not_negative("attention", attention)
        self.context = not_negative("context", context)
        same = student_channels == teacher_channels
        self.project: nn.Module = (
            nn.Identity() if same else nn.Conv2d(student_channels, teacher_channels, 1)
        )
        self.student_context = GlobalContext(teacher_channels) if context else None
        self.teacher_context = GlobalContext(teacher_channels) if context else None

    def forward(self, student: Tensor, teacher: Tensor, boxes: Tensor) -> Tensor:
        """See :func:`fgd_loss`; the gap of contexts is added, summed over all but the batch."""
        with torch.autocast(student.device.type, enabled=False):
            own, other = self.project(at_least_float32(student)), at_least_float32(teacher.detach())
            value = fgd_loss(
                own,
                other,
                boxes,
                self.temperature,
                self.foreground,
                self.background,
                self.attention,
            )
            if self.student_context is None or self.teacher_context is None:
                return value
            gap = self.student_context(own) - self.teacher_context(other)
            whole: Tensor = value + self.context * gap.square().sum() / len(own)
            return whole


class GlobalContext(nn.Module):
    """A map with a transformed mean of its places added, those that attention chooses.

    It is the block of GCNet (Cao et al., arXiv 1904.11492).

    Args:
        width: Channels, at least 2.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        narrow = max(width // 2, 1)
        self.attention = nn.Conv2d(width, 1, 1, bias=False)  # a softmax takes no notice of one
        self.transform = nn.Sequential(
            nn.Linear(width, narrow), nn.LayerNorm(narrow), nn.ReLU(), nn.Linear(narrow, width)
        )
        last = self.transform[-1]
        for parameter in last.parameters():
            nn.init.zeros_(parameter)

    def forward(self, activations: Tensor) -> Tensor:
        """Maps (b, c, h, w)."""
        share = self.attention(activations).flatten(2).softmax(2)
        mean = (activations.flatten(2) * share).sum(2)
        added: Tensor = self.transform(mean)
        return activations + added[:, :, None, None]


def object_weights(boxes: Tensor, activations: Tensor) -> Tensor:
    """The weight of each cell (b, h, w): 1 by the cells of its box, 0 on the ground."""
    b, _, height, width = activations.shape
    weights = activations.new_zeros((b, height, width))
    if len(boxes) == 0:
        return weights
    size = boxes.new_tensor([width, height])
    near, far = (boxes[:, 1:3] * size).floor(), (boxes[:, 3:5] * size).ceil()
    x, y = (torch.arange(n, device=boxes.device) for n in (width, height))
    across = (x >= near[:, :1]) & (x < far[:, :1])
    down = (y >= near[:, 1:]) & (y < far[:, 1:])
    cells = (down[:, :, None] & across[:, None, :]).to(activations.dtype)
    cells = cells / cells.sum((1, 2), keepdim=True).clamp_min(1)
    rows = boxes[:, 0].long()[:, None, None].expand_as(cells)
    return weights.scatter_reduce(0, rows, cells, "amax")


def _attentions(activations: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """Of places (b, h, w) and of channels (b, c), each with a mean of 1."""
    b, c, height, width = activations.shape
    size = activations.abs()
    places = (size.mean(1).flatten(1) / temperature).softmax(1) * (height * width)
    strengths = (size.mean((2, 3)) / temperature).softmax(1) * c
    return places.view(b, height, width), strengths
