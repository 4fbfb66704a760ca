import math

import numpy as np
import pytest
import torch
from torch import nn

from distill.losses import FGDLoss, fgd_loss
from distill.losses.feature.fgd import GlobalContext, object_weights
from tests.losses.contract import Inputs, LossContract, softmax

MAPS, NONE = torch.ones(2, 3, 2, 2), torch.zeros(0, 5)
WEIGHTS = {"temperature": 0.7, "foreground": 0.3, "background": 0.2, "attention": 0.1}


def attentions(maps: np.ndarray, temperature: float) -> tuple[np.ndarray, np.ndarray]:
    """Of one image: places (h, w) and channels (c,)."""
    c, height, width = maps.shape
    size = np.abs(maps)
    places = softmax(size.mean(0).ravel() / temperature) * height * width
    return places.reshape(height, width), softmax(size.mean((1, 2)) / temperature) * c


def cell_weights(boxes: np.ndarray, row: int, height: int, width: int) -> np.ndarray:
    """1 by the number of cells of the smallest box that touches a cell."""
    found = np.zeros((height, width))
    for image, left, top, right, bottom in boxes:
        if image == row:
            down = range(math.floor(top * height), min(math.ceil(bottom * height), height))
            across = range(math.floor(left * width), min(math.ceil(right * width), width))
            for y in down:
                for x in across:
                    found[y, x] = max(found[y, x], 1 / (len(down) * len(across)))
    return found


def context(block: GlobalContext, maps: np.ndarray) -> np.ndarray:
    """The block of one image, in numpy."""
    c = len(maps)
    flat = maps.reshape(c, -1)
    mean = flat @ softmax(block.attention.weight.detach().numpy().reshape(c) @ flat)
    first, norm, _, last = block.transform
    hidden = first.weight.detach().numpy() @ mean + first.bias.detach().numpy()
    hidden = (hidden - hidden.mean()) / math.sqrt(hidden.var() + 1e-5)
    hidden = np.maximum(hidden * norm.weight.detach().numpy() + norm.bias.detach().numpy(), 0)
    added = last.weight.detach().numpy() @ hidden + last.bias.detach().numpy()
    return maps + added[:, None, None]


class TestFGDLoss(LossContract):
    shape = (3, 4, 3, 4)
    zero_when_equal = False  # two context blocks stand between
    gradcheck_seed = 1
    refusals = {
        "channels": (lambda: FGDLoss(0, 2), "student_channels must be at least 1"),
        "temperature": (lambda: FGDLoss(2, 2, temperature=0), "temperature must be positive"),
        "foreground": (lambda: FGDLoss(2, 2, foreground=-1), "foreground must be finite"),
        "background": (lambda: FGDLoss(2, 2, background=-1), "background must be finite"),
        "attention": (lambda: FGDLoss(2, 2, attention=-1), "attention must be finite"),
        "context": (lambda: FGDLoss(2, 2, context=-1), "context must be finite"),
        "maps": (lambda: fgd_loss(MAPS, MAPS[:, :1], NONE), "as many channels"),
        "row": (lambda: fgd_loss(MAPS, MAPS, torch.full((1, 5), 2.0)), "got row 2 of 2 images"),
        "boxes": (lambda: fgd_loss(MAPS, MAPS, torch.zeros(2, 4)), r"\(m, 5\), got \(2, 4\)"),
    }

    def make(self) -> nn.Module:
        loss = FGDLoss(4, 4, context=0.05, **WEIGHTS)
        for block in (loss.student_context, loss.teacher_context):
            nn.init.normal_(block.transform[-1].weight)
            nn.init.normal_(block.transform[-1].bias)
        return loss

    def inputs(self, seed: int = 0, shape: tuple[int, ...] | None = None) -> Inputs:
        found = super().inputs(seed, shape)
        draws = torch.Generator().manual_seed(seed)
        b = len(found["student"])
        corner = torch.rand(5, 2, generator=draws, dtype=torch.float64)
        far = corner + (1 - corner) * torch.rand(5, 2, generator=draws, dtype=torch.float64)
        row = torch.randint(max(b, 1), (5, 1), generator=draws)
        row[0] = 0
        found["boxes"] = torch.cat([row, corner, far], 1)
        return found

    def oracle(
        self, loss: nn.Module, student: np.ndarray, teacher: np.ndarray, boxes: np.ndarray
    ) -> float:
        b, c, height, width = student.shape
        total = 0.0
        for row in range(b):
            own, other = student[row], teacher[row]
            places, strengths = attentions(other, WEIGHTS["temperature"])
            own_places, own_strengths = attentions(own, WEIGHTS["temperature"])
            objects = cell_weights(boxes, row, height, width)
            ground = (objects == 0).sum()
            for k, y, x in np.ndindex(c, height, width):
                seen = places[y, x] * strengths[k] * (other[k, y, x] - own[k, y, x]) ** 2
                if objects[y, x]:
                    total += WEIGHTS["foreground"] * objects[y, x] * seen
                else:
                    total += WEIGHTS["background"] * seen / ground
            apart = np.abs(own_places - places).sum() + np.abs(own_strengths - strengths).sum()
            total += WEIGHTS["attention"] * apart
            if loss.student_context is not None:
                gap = context(loss.student_context, own) - context(loss.teacher_context, other)
                total += 0.05 * (gap**2).sum()
        return total / b

    def test_unequal_batches_are_refused_with_both_shapes(self) -> None:
        inputs = self.inputs()
        inputs["teacher"] = inputs["teacher"][:-1]
        with pytest.raises(ValueError, match=r"\(3, 4, 3, 4\) and \(2, 4, 3, 4\)"):
            self.loss()(**inputs)

    def test_a_block_begins_as_nothing_and_learns_all_its_weights(self) -> None:
        """A block whose convolutions all begin at zero never learns any but the last bias."""
        torch.manual_seed(0)
        loss = FGDLoss(4, 4, context=1.0)
        inputs = self.fed(self.inputs(), torch.float32)
        alike = loss(**(inputs | {"teacher": inputs["student"].detach()}))
        assert alike.item() == pytest.approx(0, abs=1e-6)
        before = {name: value.detach().clone() for name, value in loss.named_parameters()}
        optimizer = torch.optim.SGD(loss.parameters(), lr=0.01)
        for _ in range(3):
            optimizer.zero_grad()
            loss(**inputs).backward()
            optimizer.step()
        for name, value in loss.named_parameters():
            assert not torch.equal(value, before[name]), name

    def test_maps_of_other_channels_are_projected(self) -> None:
        loss = FGDLoss(4, 6, context=0)
        student, teacher = torch.randn(2, 4, 3, 3), torch.randn(2, 6, 3, 3)
        loss(student, teacher, NONE).backward()
        assert loss.project.weight.grad is not None


class TestFGDLossWithoutContext(TestFGDLoss):
    zero_when_equal = True

    def make(self) -> nn.Module:
        return FGDLoss(4, 4, context=0, **WEIGHTS)


def test_the_hand_value() -> None:
    quarter = torch.tensor([[0.0, 0.0, 0.0, 0.5, 0.5]])
    found = fgd_loss(torch.ones(1, 1, 2, 2), torch.zeros(1, 1, 2, 2), quarter)
    assert found.item() == pytest.approx(0.0015)


def test_without_boxes_ground_and_attention_stay() -> None:
    generator = torch.Generator().manual_seed(0)
    student, teacher = torch.randn(2, 1, 3, 2, 2, generator=generator)
    none = fgd_loss(student, teacher, NONE)
    assert none.item() > 0
    apart = fgd_loss(student, teacher, NONE, foreground=0, background=0)
    ground = fgd_loss(student, teacher, NONE, attention=0)
    torch.testing.assert_close(none, apart + ground)


def test_cells_do_not_depend_on_how_a_batch_is_padded() -> None:
    """Boxes are shares of what the network saw: a box of pixels 10..14 of 16, then of 24."""
    maps = torch.zeros(1, 1, 1, 16)
    alone = object_weights(torch.tensor([[0, 10 / 16, 0, 14 / 16, 1]]), maps)
    padded = object_weights(torch.tensor([[0, 10 / 24, 0, 14 / 24, 1]]), torch.zeros(1, 1, 1, 24))
    assert alone[0, 0].nonzero().flatten().tolist() == [10, 11, 12, 13]
    assert padded[0, 0].nonzero().flatten().tolist() == [10, 11, 12, 13]


def test_the_smallest_box_wins() -> None:
    boxes = torch.tensor([[0, 0, 0, 1, 1], [0, 0, 0, 0.5, 0.5]])
    weights = object_weights(boxes, torch.zeros(1, 1, 2, 2))
    assert weights[0].tolist() == [[1, 0.25], [0.25, 0.25]]
