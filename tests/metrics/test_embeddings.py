import math

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from distill.metrics import EmbeddingAccuracy, EmbeddingComparison, linear_cka
from distill.metrics.embeddings import knn_classes, probe_classes


def clusters(seed: int, n: int, classes: int = 3) -> tuple[Tensor, Tensor]:
    """Embeddings (n, 6) that are near their class's place, with noise enough for errors."""
    centers = torch.randn(classes, 6, generator=torch.Generator().manual_seed(7))
    generator = torch.Generator().manual_seed(seed)
    target = torch.randint(classes, (n,), generator=generator)
    return centers[target] + 1.2 * torch.randn(n, 6, generator=generator), target


def voted(query: np.ndarray, bank: np.ndarray, target: np.ndarray) -> int:
    """The definition: the 20 largest cosines vote with exp(s / 0.07)."""
    pairs = []
    for row, label in zip(bank, target, strict=True):
        cosine = row @ query / np.linalg.norm(row) / np.linalg.norm(query)
        pairs.append((cosine, label))
    votes: dict[int, float] = {}
    for cosine, label in sorted(pairs, reverse=True)[:20]:
        votes[label] = votes.get(label, 0) + math.exp(cosine / 0.07)
    return max(votes, key=lambda label: votes[label])


@pytest.mark.parametrize("size", [3, 20, 90])
def test_neighbours_vote_by_their_cosine(size: int) -> None:
    bank, target = clusters(0, size)
    query, _ = clusters(1, 1100 if size == 90 else 40)
    found = knn_classes(query, bank, target)
    some = range(0, len(query), 17)
    expected = [
        voted(query[i].double().numpy(), bank.double().numpy(), target.numpy()) for i in some
    ]
    assert found[list(some)].tolist() == expected


def test_the_probe_is_that_of_scikit_learn_on_standardised_embeddings() -> None:
    (bank, target), (query, _) = clusters(0, 60), clusters(1, 200)
    scaler = StandardScaler().fit(bank.double().numpy())
    probe = LogisticRegression().fit(scaler.transform(bank.double().numpy()), target.numpy())
    expected = probe.predict(scaler.transform(query.double().numpy()))
    assert np.array_equal(probe_classes(query, bank, target).numpy(), expected)
    assert len(set(expected)) == 3


def test_a_feature_that_does_not_vary_is_left_out_of_account() -> None:
    (bank, target), (query, _) = clusters(0, 60), clusters(1, 50)
    flat = [torch.cat([rows, torch.full((len(rows), 1), 0.7)], 1) for rows in (query, bank)]
    expected = probe_classes(query, bank, target)
    assert torch.equal(probe_classes(*flat, target), expected)


def test_figures_are_of_the_images_beside_the_bank() -> None:
    (bank, known), (query, target) = clusters(0, 60), clusters(1, 90)
    metric = EmbeddingAccuracy()
    rows, labels = torch.cat([bank, query]), torch.cat([known, target])
    in_bank = torch.arange(150) < 60
    for part in torch.arange(150).split(40):
        metric.update(rows[part], (labels[part], in_bank[part]))
    found = metric.compute()
    for name, classify in (("knn", knn_classes), ("linear", probe_classes)):
        share = (classify(query, bank, known) == target).double().mean().item()
        assert found[name].item() == pytest.approx(share)
        assert 0.4 < share < 1


@pytest.mark.parametrize("in_bank", [True, False])
def test_without_a_bank_or_images_beside_it_there_is_no_figure(in_bank: bool) -> None:
    metric, (rows, target) = EmbeddingAccuracy(), clusters(0, 5)
    metric.update(rows, (target, torch.full((5,), in_bank)))
    counts = "5 and 0" if in_bank else "0 and 5"
    with pytest.raises(ValueError, match=rf"^k-NN needs a bank and images beside it, got {counts}"):
        metric.compute()


def test_the_comparison_is_cka() -> None:
    student, teacher = torch.randn(12, 4), torch.randn(12, 7)
    comparison = EmbeddingComparison(with_teacher=True)
    comparison.update(student[:3], teacher[:3], None)  # too few for an estimate
    assert comparison.compute() == {}
    comparison.update(student, teacher, None)
    expected = linear_cka(student, teacher).item()
    assert comparison.compute() == {"embedding_cka": pytest.approx(expected)}
    alone = EmbeddingComparison(with_teacher=False)
    alone.update(student, None, None)
    assert alone.compute() == {}


def test_a_bank_of_one_class_gives_that_class() -> None:
    bank, query = torch.randn(4, 3), torch.randn(2, 3)
    assert probe_classes(query, bank, torch.full((4,), 7)).tolist() == [7, 7]
