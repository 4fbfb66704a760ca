"""What public distillation code gets wrong, each as a test that such code would fail.

Shown elsewhere: a teacher in train mode whose batch-norm statistics drift
(``tests/modules/test_teacher.py`` and ``test_distillation.py``), a loss that is infinite for equal
features (the questionnaire's batches with ``equal``), and mutual learning whose peers are not
detached (``tests/modules/test_mutual.py``).

What cannot occur here: SRD's and U-DML's defects (neither loss is here), OFA's undefined names (no
search space), a mislabelled column of results (tables are written from records), the best epoch
chosen on test images (the test source is separate, and ``fit`` never reads it), prints left in a
loss (the linter refuses them), scripts that do not parse (every module is imported by a test).
"""

import math
from pathlib import Path

import pytest
import torch
import yaml
from torch import Tensor, nn

from distill.losses import (
    CRDLoss,
    FSPLoss,
    HintLoss,
    KDLoss,
    NSTLoss,
    OverhaulLoss,
    VIDLoss,
    cc_loss,
    dist_loss,
    dkd_loss,
    kd_loss,
    multi_label_kd_loss,
    rkd_distance_loss,
    sp_loss,
    ssld_loss,
)

ROOT = Path(__file__).parents[2]
LOGITS = torch.tensor([[2.0, -1.0, 0.5], [0.0, 3.0, 1.0]])


def twice(value: Tensor) -> Tensor:
    return torch.cat([value, value])


def test_kd_has_a_default_and_keeps_the_square_of_the_temperature() -> None:
    """torchdistill: the default weight is a TypeError, and T^2 is lost without hard targets."""
    plain = kd_loss(LOGITS / 4, LOGITS.flip(0) / 4, temperature=1.0)
    torch.testing.assert_close(KDLoss()(LOGITS, LOGITS.flip(0)), 16 * plain)


def test_kd_does_not_shrink_with_the_number_of_classes() -> None:
    """Model-Optimizer: the mean over classes too is the default."""
    more = nn.functional.pad(LOGITS, (0, 97), value=-1e3)
    expected = kd_loss(LOGITS, LOGITS.flip(0))
    torch.testing.assert_close(kd_loss(more, more.flip(0)), expected)


def test_sp_divides_rows_by_their_l2_norm() -> None:
    """torchdistill: by their L1 norm."""
    student, teacher = torch.tensor([[3.0], [4.0]]), torch.eye(2)
    # Every row of the student's similarities is (3, 4) up to scale.
    expected = (0.4**2 + 0.8**2 + 0.6**2 + 0.2**2) / 4
    assert sp_loss(student, teacher).item() == pytest.approx(expected)


def test_crd_draws_its_negatives_itself() -> None:
    """torchdistill: an AttributeError. RepDistiller: by a data set class that no longer works."""
    index = torch.arange(4)
    loss = CRDLoss(3, 3, n_samples=9, n_negatives=5)
    assert torch.isfinite(loss(torch.randn(4, 3), torch.randn(4, 3), index % 2, index))


def test_crd_is_built_where_it_is_told_and_moves_whole() -> None:
    """mdistiller: the constructor needs CUDA. torchdistill: what ``to`` returns is dropped."""
    loss = CRDLoss(3, 3, n_samples=9)
    for device in ("cpu", "meta"):
        loss = loss.to(device)
        kept = (loss.student_bank, loss.teacher_bank, loss.labels, loss.log_normalisers)
        assert {tensor.device.type for tensor in (*kept, *loss.parameters())} == {device}


def test_dist_is_zero_for_equal_logits_and_grows_as_correlation_falls() -> None:
    """torchdistill's DIST+: 1 for equal features, a correlation added instead of subtracted."""
    logits = torch.randn(5, 4, generator=torch.Generator().manual_seed(0))
    noise = torch.randn(5, 4, generator=torch.Generator().manual_seed(1))
    values = [dist_loss(logits + share * noise, logits).item() for share in (0.0, 0.3, 1.0, 3.0)]
    assert values[0] == pytest.approx(0, abs=1e-6)
    assert values == sorted(values)


def test_cc_squares_the_norm() -> None:
    """torchdistill: it does not, so twice the gap costs twice instead of four times as much."""
    teacher, values = torch.eye(2, dtype=torch.float64), []
    for cosine in (0.3, 0.6):
        rows = [[1.0, 0.0], [cosine, math.sqrt(1 - cosine**2)]]
        student = torch.tensor(rows, dtype=torch.float64)
        values.append(cc_loss(student, teacher, order=1).item())
    assert values[1] == pytest.approx(4 * values[0])


def test_vid_trains_and_saves_its_variances() -> None:
    """mdistiller: they are in no optimizer and no state."""
    loss, maps = VIDLoss(2, 3), torch.randn(4, 3, 2, 2)
    before = loss.variance.detach().clone()
    optimizer = torch.optim.SGD(loss.parameters(), lr=1.0)
    loss(maps[:, :2], maps).backward()
    optimizer.step()
    assert (loss.variance != before).all()
    other = VIDLoss(2, 3)
    other.load_state_dict(loss.state_dict())
    assert torch.equal(other.variance, loss.variance)


def test_overhaul_saves_its_margins() -> None:
    """mdistiller, mmrazor: plain tensors, moved by hand."""
    loss = OverhaulLoss(2, 3)
    loss(torch.randn(4, 2, 3, 3), torch.randn(4, 3, 3, 3))
    assert (loss.margin < 0).all()
    other = OverhaulLoss(2, 3)
    other.load_state_dict(loss.state_dict())
    assert torch.equal(other.margin, loss.margin)


def test_overhaul_runs_the_teacher_on_batch_statistics() -> None:
    """mmrazor: evaluation mode is the default, unlike in the authors' code.

    The recipe for digits, which is not the authors', takes evaluation mode.
    """
    paths = [p for p in (ROOT / "recipes").rglob("overhaul*.yaml") if p.parent.name != "digits"]
    modes = {yaml.safe_load(path.read_text())["model"]["teacher_mode"] for path in paths}
    assert modes == {"batch_statistics"}


def test_dkd_is_a_mean_over_the_batch() -> None:
    """mmrazor: ``mean`` becomes a sum."""
    target = torch.tensor([0, 2])
    once = dkd_loss(LOGITS, LOGITS.flip(0), target)
    torch.testing.assert_close(dkd_loss(twice(LOGITS), twice(LOGITS.flip(0)), twice(target)), once)


def test_dkd_is_zero_for_equal_logits() -> None:
    """PaddleSlim: probabilities where log-probabilities belong, so it is negative there."""
    assert dkd_loss(LOGITS, LOGITS, torch.tensor([0, 2])).item() == 0


def test_rkd_takes_embeddings_as_long_as_they_are() -> None:
    """mmrazor: at length 1, by default."""
    teacher = torch.eye(3)
    longer = torch.diag(torch.tensor([1.0, 2.0, 3.0]))
    assert rkd_distance_loss(teacher, teacher).item() == 0
    assert rkd_distance_loss(longer, teacher).item() > 0.01


def test_rkd_averages_distances_of_different_images() -> None:
    """PaddleClas: over the diagonal too."""
    line = torch.tensor([[0.0], [1.0], [2.0]])
    triangle = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.5, 0.75**0.5]])
    # Relative distances 3/4, 3/4, 3/2 against 1, 1, 1: 2 (1/32 + 1/32 + 1/8) over 9 pairs.
    assert rkd_distance_loss(line, triangle).item() == pytest.approx(2 * (3 / 16) / 9)


def test_jensen_shannon_is_not_half_of_jeffreys() -> None:
    """PaddleClas: what is called JS is half the Jeffreys divergence, which has no bound."""
    student = torch.tensor([[100.0, 0.0]])
    assert ssld_loss(student, -student, "js").item() == pytest.approx(math.log(2))
    assert ssld_loss(student, -student, "jeffreys").item() == pytest.approx(100)


def test_multi_label_kd_counts_the_labels_that_are_absent() -> None:
    """PaddleClas: q log(q_t / q_s) alone, which can be negative."""
    student, teacher = torch.tensor([[0.0]]), torch.tensor([[1 / 3]]).log()
    expected = 0.25 * math.log(0.25 / 0.5) + 0.75 * math.log(0.75 / 0.5)
    assert multi_label_kd_loss(student, teacher).item() == pytest.approx(expected)


@pytest.mark.parametrize("loss", [HintLoss(2, 2), NSTLoss(), VIDLoss(2, 2), OverhaulLoss(2, 2)])
def test_maps_of_other_sizes_are_refused_with_their_shapes(loss: nn.Module) -> None:
    """RepDistiller, mdistiller: ``raise NotImplemented`` is a TypeError of its own."""
    with pytest.raises(ValueError, match=r"\(1, 2, 4, 4\) and \(1, 2, 3, 3\)"):
        loss(torch.ones(1, 2, 4, 4), torch.ones(1, 2, 3, 3))


def test_an_unknown_convention_is_refused_by_name() -> None:
    """torchdistill: a documented key that nothing reads is accepted in silence."""
    with pytest.raises(ValueError, match="convention must be 'code' or 'paper', got 'official'"):
        FSPLoss("official")
