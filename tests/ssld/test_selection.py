import csv
from pathlib import Path

import numpy as np
import pytest
import torch

from distill.data.selection import number
from distill.ssld.selection import Selection, counts, top_k, write_selection

RANDOM = np.random.default_rng(0)
# Multiples of 1/2, so that many scores are equal; class 3 is never predicted.
LOGITS = torch.from_numpy(RANDOM.integers(0, 6, (300, 4)) / 2) - torch.tensor([0, 0, 1.5, 9])
PIXELS = torch.from_numpy(RANDOM.permutation(10**6)[:300] - 5 * 10**5)
K = 20


def chosen(k: int = K) -> Selection:
    return top_k(PIXELS, LOGITS, k)


def probabilities() -> np.ndarray:
    odds = np.exp(LOGITS.double().numpy())
    return odds / odds.sum(1, keepdims=True)


def test_it_takes_the_highest_scores_of_each_class_by_definition() -> None:
    shares, found = probabilities(), chosen()
    for label in range(4):
        own = sorted((row.max() for row in shares if row.argmax() == label), reverse=True)
        ours = found.score[found.label == label].numpy()
        np.testing.assert_allclose(ours, own[:K], rtol=1e-12)  # a prefix of the sorted list
        assert len(ours) == min(K, len(own))
        assert int(found.predicted[label]) == len(own)


def test_each_image_has_its_own_class_and_score() -> None:
    shares, found = probabilities(), chosen()
    place = {int(value): i for i, value in enumerate(PIXELS)}
    rows = [place[int(value)] for value in found.pixels]
    assert len(set(rows)) == len(rows)
    assert found.label.tolist() == shares[rows].argmax(1).tolist()
    np.testing.assert_allclose(found.score.numpy(), shares[rows].max(1), rtol=1e-12)


def test_the_order_of_the_images_does_not_matter_even_among_equal_scores() -> None:
    found = chosen()
    assert len(found.score.unique()) < len(found.score)
    for seed in range(5):
        order = torch.from_numpy(np.random.default_rng(seed).permutation(300))
        again = top_k(PIXELS[order], LOGITS[order], K)
        assert torch.equal(again.pixels, found.pixels)
        assert torch.equal(again.score, found.score)


def test_ties_do_not_go_to_the_smallest_hash() -> None:
    pixels = torch.arange(1000)
    found = top_k(pixels, torch.zeros(1000, 2), 100).pixels
    # The mean of 100 of 0..999, drawn without replacement, is 499.5 with a deviation of 27.
    assert 499.5 - 5 * 27 < found.double().mean() < 499.5 + 5 * 27


def test_more_per_class_only_adds() -> None:
    assert set(chosen(5).pixels.tolist()) < set(chosen(20).pixels.tolist())
    assert sorted(chosen(300).pixels.tolist()) == sorted(PIXELS.tolist())


def test_the_table_and_the_counts_tell_it_all(tmp_path: Path) -> None:
    found, classes = chosen(), ("a", "b", "c", "d")
    write_selection(tmp_path / "x.csv", found, classes)
    with (tmp_path / "x.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [number(row["pixels"]) for row in rows] == found.pixels.tolist()
    assert [float(row["score"]) for row in rows] == found.score.tolist()
    told = counts(found, classes)
    for label, name in enumerate(classes):
        own = [float(row["score"]) for row in rows if row["class"] == name]
        expected = {"predicted": int(found.predicted[label]), "selected": len(own)}
        assert told[name] == expected | {"lowest_score": min(own) if own else None}
    assert told["d"] == {"predicted": 0, "selected": 0, "lowest_score": None}


def test_none_of_a_class_is_refused() -> None:
    with pytest.raises(ValueError, match="top_k must be at least 1, got 0"):
        chosen(0)
