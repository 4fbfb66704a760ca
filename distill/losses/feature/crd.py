"""Contrastive representation distillation: Tian, Krishnan and Isola, ICLR 2020, arXiv 1910.10699.

An image's embedding by one network is to be recognized among other images' embeddings by the other
network, kept in two memory banks; noise-contrastive estimation with the authors' constants.
Negatives are drawn among the images seen so far of other classes, from torch's global generator.
Probabilities stay logarithms throughout, so that no temperature over- or underflows.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from distill.losses.checks import at_least_float32, positive, same_batch

_EPSILON = 1e-7  # the authors'


def crd_loss(log_positive: Tensor, log_negative: Tensor, n_samples: int) -> Tensor:
    """Noise-contrastive estimation in one direction (eq. 17 and 18).

    With n negatives, noise m = n / n_samples and the authors' e = 1e-7: the mean over the batch of
    -log(P / (P + m + e)) for the match and the sum of -log(m / (P + m + e)) over the others.

    Args:
        log_positive: Logarithms (b,) of the model's probabilities P of the matching embedding.
        log_negative: Logarithms (b, n) of those of the others.
        n_samples: Images in the data set.

    Returns:
        The mean over the batch of the sum over the matching and the n other embeddings.

    Raises:
        ValueError: If the shapes do not belong together.

    Example:
        >>> uniform = torch.full((1, 4), 1 / 10).log()
        >>> f"{crd_loss(uniform[:, 0], uniform, 10) / (math.log(5) + 4 * math.log(5 / 4)):.4f}"
        '1.0000'
    """
    paired = log_negative.shape[:1] == log_positive.shape and log_negative.ndim == 2
    if not paired or log_negative.numel() == 0:
        shapes = f"{tuple(log_positive.shape)} and {tuple(log_negative.shape)}"
        raise ValueError(f"probabilities need shapes (b,) and (b, n), not empty, got {shapes}")
    noise = log_negative.shape[1] / n_samples
    floor = math.log(noise + _EPSILON)
    matched = F.logsigmoid(log_positive - floor)
    others = F.logsigmoid(floor - log_negative) + (math.log(noise) - floor)
    return -(matched.sum() + others.sum()) / len(log_positive)


class CRDLoss(nn.Module):
    """Embeddings, memory banks and negatives around :func:`crd_loss`, both directions summed.

    Made for one device: of several processes each would remember its own images only.

    Args:
        student_dim: Features per image of the student, flattened.
        teacher_dim: Features per image of the teacher, flattened.
        n_samples: Images in the data source; an index is below it.
        feature_dim: Size of the embeddings.
        n_negatives: Other images that each image is compared with.
        temperature: Divides the inner products; positive.
        momentum: Of the memory banks, in 0..1.

    Attributes:
        student_bank: Buffer (n_samples, feature_dim); ``teacher_bank`` likewise. 2 * 4 *
            feature_dim bytes per image, part of every checkpoint.
        labels: Buffer (n_samples,), the class number of each image seen in training, else -1.
        log_normalisers: Buffer (2,), of the two directions, set from the first training batch; 0
            before it.

    Raises:
        ValueError: If an argument is out of range.

    Example:
        >>> loss = CRDLoss(8, 16, n_samples=100, n_negatives=10)
        >>> target, index = torch.tensor([0, 1, 2]), torch.tensor([5, 50, 99])
        >>> loss(torch.randn(3, 8), torch.randn(3, 16), target, index).shape
        torch.Size([])
    """

    student_bank: Tensor
    teacher_bank: Tensor
    labels: Tensor
    log_normalisers: Tensor

    def __init__(
        self,
        student_dim: int,
        teacher_dim: int,
        n_samples: int,
        feature_dim: int = 128,
        n_negatives: int = 16384,
        temperature: float = 0.07,
        momentum: float = 0.5,
    ) -> None:
        super().__init__()
        sizes = {
            "student_dim": student_dim,
            "teacher_dim": teacher_dim,
            "n_samples": n_samples,
            "feature_dim": feature_dim,
            "n_negatives": n_negatives,
        }
        for name, value in sizes.items():
            if value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        if not 0 <= momentum <= 1:
            raise ValueError(f"momentum must be in 0..1, got {momentum}")
        self.n_negatives, self.momentum = n_negatives, momentum
        self.temperature = positive("temperature", temperature)
        self.student_embedding = nn.Linear(student_dim, feature_dim)
        self.teacher_embedding = nn.Linear(teacher_dim, feature_dim)
        bound = 1 / math.sqrt(feature_dim / 3)
        for name in ("student_bank", "teacher_bank"):
            self.register_buffer(name, torch.empty(n_samples, feature_dim).uniform_(-bound, bound))
        self.register_buffer("labels", torch.full((n_samples,), -1))
        self.register_buffer("log_normalisers", torch.zeros(2))

    def check_data(self, classes: int, samples: int) -> None:
        """See :class:`distill.losses.checks.SizedByData`.

        Raises:
            ValueError: If there are more samples than ``n_samples``.
        """
        if samples > len(self.labels):
            message = f"n_samples must be at least {samples}, the images of the data source"
            raise ValueError(f"{message}, got {len(self.labels)}")

    def forward(self, student: Tensor, teacher: Tensor, target: Tensor, index: Tensor) -> Tensor:
        """Compute the loss of features (b, ...), with class numbers and source indices (b,).

        Raises:
            ValueError: If the batch sizes differ or are 0, if class numbers or indices are not
                int64, or if one is out of range (checked on the CPU only).
        """
        self._check(student, teacher, target, index)
        with torch.autocast(student.device.type, enabled=False):
            s = _embed(self.student_embedding, student)
            t = _embed(self.teacher_embedding, teacher.detach())
            others = self._negatives(target, index)
            direct = self._contrast(0, s, self.teacher_bank, index, others)
            reverse = self._contrast(1, t, self.student_bank, index, others)
        if self.training:
            self._remember(s.detach(), t.detach(), index)
        return direct + reverse

    def _check(self, student: Tensor, teacher: Tensor, target: Tensor, index: Tensor) -> None:
        same_batch(student, teacher)
        for name, value in (("target", target), ("index", index)):
            if value.shape != (len(student),) or value.dtype != torch.int64:
                found = f"{tuple(value.shape)} {value.dtype}"
                raise ValueError(
                    f"{name} needs one int64 per image, ({len(student)},), got {found}"
                )
        if index.device.type == "cpu" and not 0 <= index.min() <= index.max() < len(self.labels):
            span = f"{index.min().item()}..{index.max().item()}"
            raise ValueError(f"index needs numbers below n_samples {len(self.labels)}, got {span}")
        if target.device.type == "cpu" and target.min() < 0:
            raise ValueError(f"target needs class numbers, got {target.min().item()}")

    def _contrast(
        self, direction: int, anchor: Tensor, bank: Tensor, index: Tensor, others: Tensor
    ) -> Tensor:
        # All products and then a choice: (b, n_samples) is smaller than (b, n_negatives, d). Of a
        # copy: the backward pass needs the bank as it was before this batch is remembered.
        products = anchor @ bank.to(anchor.dtype, copy=True).T / self.temperature
        products = products.gather(1, torch.cat([index[:, None], others], dim=1))
        stored = self.log_normalisers[direction].to(anchor.dtype)
        mean = products.detach().flatten().logsumexp(0) - math.log(products.numel())
        normalizer = torch.where(stored != 0, stored, mean + math.log(len(bank)))
        if self.training:
            self.log_normalisers[direction] = normalizer
        shares = products - normalizer
        return crd_loss(shares[:, 0], shares[:, 1:], len(bank))

    def _negatives(self, target: Tensor, index: Tensor) -> Tensor:
        """Draw source indices (b, n) of seen images of other classes, with replacement."""
        if not self.training:
            return index[_others(target, target, self.n_negatives)]
        self.labels[index] = target
        return _others(self.labels, target, self.n_negatives)

    @torch.no_grad()
    def _remember(self, student: Tensor, teacher: Tensor, index: Tensor) -> None:
        for bank, new in ((self.student_bank, student), (self.teacher_bank, teacher)):
            mixed = self.momentum * bank[index] + (1 - self.momentum) * new.to(bank.dtype)
            bank[index] = F.normalize(mixed, dim=1)


def _embed(embedding: nn.Module, features: Tensor) -> Tensor:
    embedded: Tensor = embedding(at_least_float32(features).flatten(1))
    return F.normalize(embedded, dim=1)


def _others(labels: Tensor, target: Tensor, n: int) -> Tensor:
    """Draw places (b, n) in ``labels`` (m,) of other labels than the target's; -1 is unseen.

    Where there is no other label, the target's own is drawn.
    """
    ordered, order = labels.sort(stable=True)
    target = target.contiguous()
    seen = torch.searchsorted(ordered, ordered.new_zeros(()))
    start = torch.searchsorted(ordered, target)
    own = torch.searchsorted(ordered, target, right=True) - start
    count = len(labels) - seen
    own = torch.where(own < count, own, 0)
    draws = torch.randint(2**62, (len(target), n), device=labels.device)
    place = seen + draws % (count - own)[:, None]
    return order[place + (place >= start[:, None]) * own[:, None]]
