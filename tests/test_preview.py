import pytest
import torch

from distill.batch import Batch
from distill.preview import preview


def test_the_views_are_of_the_samples_beside_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the first samples are not the first of the source."""
    drawn: dict[str, Batch] = {}
    monkeypatch.setattr("distill.preview.contact_sheet", lambda columns, _: drawn.update(columns))
    network = {"class_path": "tests.networks.tiny"}
    cross_entropy = {
        "loss": "torch.nn.CrossEntropyLoss",
        "inputs": {"input": "student.logits", "target": "batch.target"},
    }
    images = {"class_path": "distill.data.Digits", "init_args": {"batch_size": 20}}
    tree = {
        "model": {
            "class_path": "distill.modules.Distillation",
            "init_args": {"student": network, "teacher": None, "losses": {"ce": cross_entropy}},
        },
        "data": {
            "class_path": "distill.data.PartlyLabelled",
            "init_args": {"images": images, "labels": 0.1},
        },
    }
    preview(tree, rows=6, views=2, trusted=("tests",))
    assert list(drawn) == ["original", "epoch 0", "epoch 1"]
    for batch in drawn.values():  # nothing is augmented
        assert torch.equal(batch.image, drawn["original"].image)
        assert torch.equal(batch.target, drawn["original"].target)
