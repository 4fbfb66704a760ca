from dataclasses import replace

import numpy as np
import pytest
import torch

from distill import recipes
from distill.core.batch import Batch
from distill.recipes.build import build
from distill.tools.preview import preview


def test_the_views_are_of_the_samples_beside_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the first samples are not the first of the source."""
    drawn: dict[str, Batch] = {}
    monkeypatch.setattr(
        "distill.tools.preview.contact_sheet", lambda columns, _: drawn.update(columns)
    )
    network = {"class_path": "tests.fixtures.networks.tiny"}
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


def test_views_that_repeat_are_shown_again(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: dict[str, Batch] = {}
    monkeypatch.setattr(
        "distill.tools.preview.contact_sheet", lambda columns, _: drawn.update(columns)
    )
    tree = recipes.load(recipes.find("digits/student"), ["data.views=2"])
    preview(tree, rows=4, views=3)
    assert torch.equal(drawn["epoch 2"].image, drawn["epoch 0"].image)
    assert not torch.equal(drawn["epoch 1"].image, drawn["epoch 0"].image)


def test_a_size_is_that_of_the_epochs_first_step(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: dict[str, Batch] = {}
    monkeypatch.setattr(
        "distill.tools.preview.contact_sheet", lambda columns, _: drawn.update(columns)
    )
    scale = "{class_path: distill.augment.MultiScale, init_args: {sizes: [8, 9, 10, 11, 12]}}"
    tree = recipes.load(recipes.find("digits/student"), [f"data.augment=[{scale}]"])
    preview(tree, rows=2, views=8)
    data = build(tree, "runs").data
    data.setup("fit")
    steps = len(data.train_dataloader())
    for epoch in range(8):
        batch = replace(data.example(2), epoch=epoch, step=epoch * steps)
        expected = data.pipeline.augmented(batch)
        assert torch.equal(drawn[f"epoch {epoch}"].image, expected.image)


@pytest.mark.parametrize("labels", ["boxes", "masks"])
def test_boxes_and_masks_are_drawn(labels: str) -> None:
    """A sheet without them would be grey, as scenes are."""
    name = "scenes/detect_student" if labels == "boxes" else "scenes/segment_student"
    tree = recipes.load(recipes.find(name), ["data.train=4", "data.val=1", "data.batch_size=4"])
    sheet = np.asarray(preview(tree, rows=2, views=1)).astype(int)
    coloured = np.ptp(sheet, axis=2) > 40
    assert coloured[:, : sheet.shape[1] // 2].sum() > 200
    assert coloured[:, sheet.shape[1] // 2 :].sum() > 200
