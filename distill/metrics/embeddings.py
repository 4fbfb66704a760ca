"""How well embeddings tell classes apart: weighted k nearest neighbours, and a linear probe.

A bank of labelled images is what the others are classified by. The k-NN is that of Wu et al., CVPR
2018, arXiv 1805.01978, with k = 20 as in DINO (Caron et al., ICCV 2021, arXiv 2104.14294). The
probe is a logistic regression by L-BFGS on frozen embeddings, as for CLIP (Radford et al., ICML
2021, arXiv 2103.00020); here embeddings are standardised by the bank and the L2 strength is 1, so
that there is nothing to choose.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchmetrics import Metric

from distill.metrics.cka import LinearCKA

NEIGHBORS, TEMPERATURE = 20, 0.07
_CHUNK = 1024


def knn_classes(query: Tensor, bank: Tensor, target: Tensor) -> Tensor:
    """Classify each query by its 20 nearest neighbours in the bank.

    They are those of the largest cosine s; each votes for its class with exp(s / 0.07).

    Args:
        query: Embeddings (n, d).
        bank: Embeddings (m, d); where m is below 20, all of them vote.
        target: Class numbers of the bank (m,).

    Returns:
        Class numbers (n,).

    Example:
        >>> bank = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
        >>> knn_classes(torch.tensor([[2.0, 1.0], [0.1, 0.3]]), bank, torch.tensor([5, 7]))
        tensor([5, 7])
    """
    votes_for = F.one_hot(target).float()
    known = F.normalize(bank.float())
    found = []
    for rows in torch.split(F.normalize(query.float()), _CHUNK):
        nearest, place = (rows @ known.T).topk(min(NEIGHBORS, len(bank)))
        weights = (nearest / TEMPERATURE).exp()
        found.append((weights[..., None] * votes_for[place]).sum(1).argmax(1))
    return torch.cat(found)


def probe_classes(query: Tensor, bank: Tensor, target: Tensor) -> Tensor:
    """Classify each query by a logistic regression that is fitted to the bank.

    Args:
        query: Embeddings (n, d).
        bank: Embeddings (m, d); of one class alone, every query is of that.
        target: Class numbers of the bank (m,).

    Returns:
        Class numbers (n,), on the CPU.
    """
    from sklearn.linear_model import LogisticRegression

    if (target == target[0]).all():
        return target[:1].cpu().expand(len(query))
    scale, mean = torch.std_mean(bank.double(), 0, correction=0)
    scale = torch.where(scale > 0, scale, 1.0)
    known, asked = (((rows.double() - mean) / scale).cpu().numpy() for rows in (bank, query))
    probe = LogisticRegression(max_iter=1000).fit(known, target.cpu().numpy())
    return torch.from_numpy(probe.predict(asked))


class EmbeddingAccuracy(Metric):
    """Shares of images whose class is found by the embeddings of a bank, in 0..1."""

    full_state_update = False
    higher_is_better = True
    embeddings: list[Tensor]
    targets: list[Tensor]
    banks: list[Tensor]

    def __init__(self) -> None:
        super().__init__()
        for name in ("embeddings", "targets", "banks"):
            self.add_state(name, [], dist_reduce_fx="cat")

    def update(self, embedding: Tensor, target: tuple[Tensor, Tensor]) -> None:
        """Add a batch.

        Args:
            embedding: (b, d).
            target: Class numbers (b,), and whether an image is of the bank (b,).
        """
        self.embeddings.append(embedding.detach().float())
        self.targets.append(target[0])
        self.banks.append(target[1])

    def compute(self) -> dict[str, Tensor]:
        """Classify the images that are not of the bank.

        Returns:
            ``knn`` and ``linear``, the shares that are right.

        Raises:
            ValueError: If there is no bank, or no image beside it.
        """
        rows, target, in_bank = (
            torch.cat(values) if isinstance(values, list) else values  # synchronised: one tensor
            for values in (self.embeddings, self.targets, self.banks)
        )
        bank, query = rows[in_bank], rows[~in_bank]
        if len(bank) == 0 or len(query) == 0:
            found = f"got {len(bank)} and {len(query)}"
            raise ValueError(f"k-NN needs a bank and images beside it, {found}: all of val is used")
        return {
            name: (classify(query, bank, target[in_bank]).to(rows.device) == target[~in_bank])
            .float()
            .mean()
            for name, classify in (("knn", knn_classes), ("linear", probe_classes))
        }


class EmbeddingComparison(nn.Module):
    """Measures how alike a student's and a teacher's embeddings are, whatever their widths.

    Args:
        with_teacher: Whether there is a teacher.
    """

    def __init__(self, with_teacher: bool) -> None:
        super().__init__()
        self._cka = LinearCKA() if with_teacher else None

    def update(self, student: Tensor, teacher: Tensor | None, target: object) -> None:
        """Add a batch.

        Args:
            student: Embeddings (b, d).
            teacher: Embeddings (b, e); None where there is no teacher.
            target: Not looked at.
        """
        if self._cka is not None and teacher is not None:
            self._cka.update(student, teacher)

    def compute(self) -> dict[str, float]:
        """Compute ``embedding_cka``, see ``linear_cka``; nothing without a teacher."""
        value = float(self._cka.compute()) if self._cka is not None else float("nan")
        return {"embedding_cka": value} if value == value else {}
