import pytest
import torch

from distill.core.errors import RecipeError
from distill.modules.relaxation import CostTerm, Relaxation
from distill.modules.supernet import expected_cost, gumbel, softmax
from students import MixedCells
from tests.fixtures.runs import assert_same


def supernet() -> MixedCells:
    torch.manual_seed(0)
    return MixedCells(3, 1, cells=1, width=4, nodes=1, reduce_at=[], ops=["skip", "conv3"])


def test_the_temperature_goes_from_the_first_to_the_last() -> None:
    made, relaxation = supernet(), Relaxation("gumbel", (5.0, 1.0), skips=False)
    for progress, temperature in ((0.0, 5.0), (0.25, 4.0), (1.0, 1.0)):
        found = relaxation.mixture(made, 3, progress)["normal"]
        wanted = gumbel(made, temperature, 3)["normal"]
        slopes = [torch.autograd.grad(one[0, 0], made.alphas["normal"]) for one in (found, wanted)]
        assert_same(*map(list, slopes))


def test_the_skip_is_what_is_left_of_the_epochs() -> None:
    made = supernet()
    for skips, wanted in ((True, 0.75), (False, 0.0)):
        found = Relaxation("softmax", (1.0, 1.0), skips).mixture(made, 0, 0.25)
        assert made.skip == wanted
        assert torch.equal(found["normal"], softmax(made)["normal"])


def test_what_is_above_a_limit_is_charged_by_its_share() -> None:
    made = supernet()
    mean = {
        name: expected_cost(made, made.costs((1, 8, 8)), name) for name in ("flops", "parameters")
    }
    limits = {
        name: cost.item() / by for (name, cost), by in zip(mean.items(), (1.5, 0.9), strict=True)
    }
    term = CostTerm(limits, 2.0)
    term.set_up(made, (1, 8, 8))
    shares = term.shares(made)
    assert shares["flops"].item() == pytest.approx(1.5)
    assert shares["parameters"].item() == pytest.approx(0.9)
    assert term.value(shares).item() == pytest.approx(2.0 * 0.5)
    assert CostTerm({}, 1.0).value({}).item() == 0


def test_a_limit_below_all_designs_is_refused() -> None:
    term = CostTerm({"parameters": 50}, 1.0)
    wanted = r"^model\.limits\.parameters: 50, what all designs share has 59$"
    with pytest.raises(RecipeError, match=wanted):
        term.set_up(supernet(), (1, 8, 8))
