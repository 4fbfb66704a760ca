import math

import numpy as np
import pytest
import torch
from torch import nn

from distill.losses import EmbeddingLoss, MapAdaptor, embedding_loss
from tests.losses.contract import LossContract

ROWS, MAPS = torch.ones(2, 3), torch.ones(2, 3, 2, 2)


def linear(layer: nn.Linear, row: np.ndarray) -> np.ndarray:
    return layer.weight.detach().numpy() @ row + layer.bias.detach().numpy()


def smooth(gap: float) -> float:
    return 0.5 * gap**2 if abs(gap) < 1 else abs(gap) - 0.5


class TestEmbeddingLoss(LossContract):
    shape = (3, 4)
    teacher_shape = (5,)
    zero_when_equal = False  # the projector stands between
    refusals = {
        "student": (lambda: EmbeddingLoss(0, 2), "student_dim must be at least 1, got 0"),
        "teacher": (lambda: EmbeddingLoss(2, -1), "teacher_dim must be at least 1, got -1"),
        "hidden": (lambda: EmbeddingLoss(2, 2, hidden_dim=0), "hidden_dim must be at least 1"),
        "cosine": (lambda: EmbeddingLoss(2, 2, cosine_weight=-1.0), "cosine_weight must be"),
        "smooth": (lambda: EmbeddingLoss(2, 2, 1.0, math.inf), "smooth_l1_weight must be"),
        "weight": (lambda: embedding_loss(ROWS, ROWS, -1.0), "cosine_weight must be"),
        "width": (lambda: embedding_loss(ROWS, ROWS[:, :2]), r"same width, got .*\(2, 2\)"),
        "rank": (lambda: embedding_loss(MAPS[0], MAPS[0]), r"\(b, d\), or maps \(b, d, h, w\)"),
        "size": (lambda: EmbeddingLoss(3, 3)(MAPS, MAPS[..., :1]), r"one size.*\(2, 3, 2, 1\)"),
        "kind": (lambda: EmbeddingLoss(3, 3)(MAPS, ROWS), r"maps .*\(2, 3\)$"),
    }

    def make(self) -> nn.Module:
        return EmbeddingLoss(4, 5, cosine_weight=0.9, smooth_l1_weight=0.1)

    def oracle(self, loss: nn.Module, student: np.ndarray, teacher: np.ndarray) -> float:
        values = []
        for row, wanted in zip(student, teacher, strict=True):
            found = linear(loss.projector, row)
            cosine = found @ wanted / np.linalg.norm(found) / np.linalg.norm(wanted)
            gaps = [smooth(a - b) for a, b in zip(found, wanted, strict=True)]
            values.append(0.9 * (1 - cosine) + 0.1 * sum(gaps) / len(gaps))
        return float(np.mean(values))

    def test_the_cosine_alone_does_not_see_lengths(self) -> None:
        rows = torch.randn(4, 6)
        assert embedding_loss(3 * rows, rows).item() == pytest.approx(0, abs=1e-6)
        assert embedding_loss(-rows, rows).item() == pytest.approx(2)
        assert embedding_loss(3 * rows, rows, 1.0, 0.1).item() > 0.01

    def test_maps_are_an_embedding_per_place(self) -> None:
        loss, student, teacher = self.loss(), torch.randn(2, 4, 3, 2), torch.randn(2, 5, 3, 2)
        student, teacher = student.double(), teacher.double()
        places = [
            loss(student[i : i + 1, :, y, x], teacher[i : i + 1, :, y, x]).item()
            for i in range(2)
            for y in range(3)
            for x in range(2)
        ]
        assert loss(student, teacher).item() == pytest.approx(np.mean(places))

    def test_a_hidden_layer_is_a_perceptron_with_layer_norm(self) -> None:
        torch.manual_seed(0)
        loss = EmbeddingLoss(4, 5, hidden_dim=7).double()
        inputs = self.inputs()
        first, _, _, last = loss.projector
        values = []
        for row, wanted in zip(*(inputs[k].numpy() for k in ("student", "teacher")), strict=True):
            hidden = linear(first, row)
            hidden = (hidden - hidden.mean()) / math.sqrt(hidden.var() + 1e-5)
            hidden = np.array([0.5 * x * (1 + math.erf(x / math.sqrt(2))) for x in hidden])
            found = linear(last, hidden)
            values.append(1 - found @ wanted / np.linalg.norm(found) / np.linalg.norm(wanted))
        assert loss(**inputs).item() == pytest.approx(np.mean(values), rel=1e-6)

    def test_patch_tokens_meet_maps_of_a_finer_grid(self) -> None:
        loss = MapAdaptor(
            EmbeddingLoss(4, 5), teacher_layout="tokens", teacher_prefix_tokens=1
        ).double()
        student, tokens = torch.randn(2, 4, 4, 4).double(), torch.randn(2, 1 + 4, 5).double()
        pooled = nn.functional.avg_pool2d(student, 2)
        patches = tokens[:, 1:].transpose(1, 2).reshape(2, 5, 2, 2)
        expected = loss.loss(pooled, patches)
        torch.testing.assert_close(loss(student, tokens), expected)
