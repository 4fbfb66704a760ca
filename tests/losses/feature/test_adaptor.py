import numpy as np
import pytest
import torch
from torch import Tensor, nn

from distill.losses import HintLoss, MapAdaptor, OverhaulLoss, RKDLoss, to_map
from tests.losses.contract import Inputs, LossContract
from tests.losses.feature.numpy_layers import run

MAPS = torch.ones(2, 3, 4, 4)
TOKENS = torch.ones(2, 1 + 16, 3)


class Keep(nn.Module):
    """A loss that remembers what it was given."""

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        self.given = student, teacher
        return student.sum()


def pooled(maps: np.ndarray, height: int, width: int) -> np.ndarray:
    """Means over bins from floor(i n / m) to ceil((i + 1) n / m)."""
    found = np.empty((*maps.shape[:2], height, width))
    h, w = maps.shape[2:]
    for y, x in np.ndindex(height, width):
        rows = slice(y * h // height, -(-(y + 1) * h // height))
        columns = slice(x * w // width, -(-(x + 1) * w // width))
        found[:, :, y, x] = maps[:, :, rows, columns].mean((2, 3))
    return found


class TestMapAdaptor(LossContract):
    """Tokens of a 2x3 grid behind two prefix tokens, against channels-last maps of 4x5."""

    shape = (3, 8, 2)
    zero_when_equal = False  # the two are laid out differently
    refusals = {
        "layout": (lambda: MapAdaptor(Keep(), "token"), "^student_layout must be one of maps, tok"),
        "prefix": (
            lambda: MapAdaptor(Keep(), teacher_layout="tokens", teacher_prefix_tokens=-1),
            "^teacher_prefix_tokens must be at least 0, got -1$",
        ),
        "prefix of maps": (
            lambda: MapAdaptor(Keep(), student_prefix_tokens=1),
            "^student_prefix_tokens must be 0 for maps, got 1$",
        ),
        "size": (
            lambda: MapAdaptor(Keep(), teacher_layout="tokens", teacher_size=(0, 4)),
            r"^teacher_size must be at least 1x1, got \(0, 4\)$",
        ),
        "size of maps": (
            lambda: MapAdaptor(Keep(), student_layout="channels_last", student_size=(4, 4)),
            r"^student_size must be None for channels_last, got \(4, 4\)$",
        ),
        "rank": (
            lambda: MapAdaptor(Keep(), "tokens")(MAPS, MAPS),
            r"tokens need the shape \(b, n, c\), got .*shapes \(2, 3, 4, 4\) and \(2, 3, 4, 4\)$",
        ),
        "teacher's rank": (
            lambda: MapAdaptor(Keep())(MAPS, TOKENS),
            r"maps need the shape \(b, c, h, w\).*shapes \(2, 3, 4, 4\) and \(2, 17, 3\)$",
        ),
        "square": (
            lambda: MapAdaptor(Keep(), "tokens")(TOKENS, MAPS),
            r"^tokens behind 0 prefix tokens need a square grid, got 17 of shape \(2, 17, 3\); ",
        ),
        "grid": (
            lambda: to_map(TOKENS, "tokens", 1, (4, 5)),
            r"^tokens behind 1 prefix tokens need a grid of 4x5, got 16 of shape \(2, 17, 3\)$",
        ),
        "layout of the function": (lambda: to_map(MAPS, "map"), "^layout must be one of maps, tok"),
        "prefix of the function": (
            lambda: to_map(TOKENS, "tokens", -8),
            "^prefix_tokens must be at least 0, got -8$",
        ),
        "only a prefix": (lambda: to_map(TOKENS, "tokens", 17), "need a square grid, got 0"),
    }  # fmt: skip

    def make(self) -> nn.Module:
        return MapAdaptor(
            HintLoss(2, 2),
            student_layout="tokens",
            student_prefix_tokens=2,
            student_size=(2, 3),
            teacher_layout="channels_last",
        )

    def inputs(self, seed: int = 0, shape: tuple[int, ...] | None = None) -> Inputs:
        generator = torch.Generator().manual_seed(seed)
        student = shape or self.shape
        teacher = (student[0], 4, 5, 2)
        return {
            name: torch.randn(each, generator=generator, dtype=torch.float64)
            for name, each in (("student", student), ("teacher", teacher))
        }

    def oracle(self, loss: nn.Module, student: np.ndarray, teacher: np.ndarray) -> float:
        tokens = np.empty((len(student), 2, 2, 3))
        for place, (y, x) in enumerate(np.ndindex(2, 3)):
            tokens[:, :, y, x] = student[:, 2 + place]
        target = np.empty((len(teacher), 2, 4, 5))
        for c in range(2):
            target[:, c] = teacher[:, :, :, c]
        return float(((run(loss.loss.projector, tokens) - pooled(target, 2, 3)) ** 2).mean())


@pytest.mark.parametrize("side", ["student", "teacher"])
def test_one_map_is_the_same_in_every_layout(side: str) -> None:
    maps = torch.randn(2, 3, 4, 4)
    tokens = torch.cat([torch.randn(2, 2, 3), maps.flatten(2).transpose(1, 2)], 1)
    forms = {"maps": maps, "channels_last": maps.permute(0, 2, 3, 1), "tokens": tokens}
    for layout, features in forms.items():
        prefix = {f"{side}_prefix_tokens": 2} if layout == "tokens" else {}
        keep = Keep()
        adaptor = MapAdaptor(keep, **{f"{side}_layout": layout}, **prefix)
        adaptor(**{"student": maps, "teacher": maps, side: features})
        assert torch.equal(keep.given[0], maps), layout
        assert torch.equal(keep.given[1], maps), layout


@pytest.mark.parametrize(
    ("student", "teacher"), [((8, 8), (4, 4)), ((4, 4), (8, 8)), ((8, 4), (4, 8)), ((7, 7), (4, 4))]
)
def test_the_larger_map_is_averaged_to_the_size_of_the_smaller(
    student: tuple[int, int], teacher: tuple[int, int]
) -> None:
    keep = Keep()
    made = torch.randn(2, 3, *student).double(), torch.randn(2, 5, *teacher).double()
    MapAdaptor(keep)(*made)
    for given, maps in zip(keep.given, made, strict=True):
        np.testing.assert_allclose(given, pooled(maps.numpy(), 4, 4), atol=1e-15)


def test_both_maps_are_averaged_in_float32_and_the_teachers_is_cut_off() -> None:
    keep = Keep()
    student, teacher = torch.randn(2, 3, 8, 4), torch.randn(2, 3, 4, 8)
    MapAdaptor(keep)(student.bfloat16(), teacher.bfloat16().requires_grad_())
    assert {maps.dtype for maps in keep.given} == {torch.float32}
    assert not keep.given[1].requires_grad
    expected = pooled(student.bfloat16().float().numpy(), 4, 4)
    np.testing.assert_allclose(keep.given[0], expected, rtol=1e-5, atol=1e-7)


def test_a_loss_that_wants_the_teachers_batch_norm_gets_it() -> None:
    batchnorm = nn.BatchNorm2d(5)
    nn.init.normal_(batchnorm.bias)
    plain, wrapped = OverhaulLoss(3, 5), OverhaulLoss(3, 5)
    plain.use_teacher_batchnorm(batchnorm)
    MapAdaptor(wrapped).use_teacher_batchnorm(batchnorm)
    assert plain.margin.abs().sum() > 0
    assert torch.equal(wrapped.margin, plain.margin)


def test_a_loss_that_does_not_want_it_is_left_alone() -> None:
    MapAdaptor(RKDLoss()).use_teacher_batchnorm(nn.BatchNorm2d(5))


def test_the_mode_and_the_parameters_are_those_of_the_wrapped_loss() -> None:
    adaptor = MapAdaptor(HintLoss(3, 5)).eval()
    assert not adaptor.loss.projector.training
    assert len(list(adaptor.parameters())) == 3
