"""How outputs are held against labels: one class for an image, or a line of characters."""

import torch.nn.functional as F
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.classification import MulticlassAccuracy

from distill.losses import ctc_loss
from distill.metrics import LineAccuracy
from distill.modules.image_data import ImageData


def accuracy_on(data: ImageData) -> Metric:
    """The share that a network gets right: of images their class, of text lines the whole line."""
    if data.example(1).line_length is not None:
        return LineAccuracy()
    return MulticlassAccuracy(len(data.classes), average="micro")


def label_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Cross-entropy of logits (b, k) for images, the CTC loss of logits (b, t, k) for lines."""
    return ctc_loss(logits, target) if logits.ndim == 3 else F.cross_entropy(logits, target)
