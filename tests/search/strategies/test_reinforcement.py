import math
from collections.abc import Sequence
from itertools import product

import pytest
import torch
from torch import Tensor

from distill.search import Reinforcement
from distill.search.strategies.policies import Independent, Policy, Recurrent
from distill.search.strategies.reinforcement import Learner, drawn, surrogate
from distill.search.strategy import Design, Outcome, Search, uniforms
from tests.fixtures.spaces import Grid

SIZES = (2, 2, 2)
DESIGNS = list(product(range(2), repeat=3))
REWARD = {design: math.sin(3.0 * row) for row, design in enumerate(DESIGNS)}


def policies() -> list[Policy]:
    independent = Independent(SIZES)
    with torch.no_grad():
        for place, logits in enumerate(independent.parameters()):
            logits.copy_(torch.tensor([0.3 * place, -0.5]))
    return [independent, Recurrent(SIZES, seed=3)]


def probability(policy: Policy, design: Design) -> Tensor:
    """By the chain rule, from softmax itself."""
    found = torch.ones((), dtype=torch.float64)
    for logits, index in zip(policy.walk(lambda place, _: design[place]), design, strict=True):
        found = found * (logits[index].exp() / logits.exp().sum())
    return found


def gradient(value: Tensor, policy: Policy) -> Sequence[Tensor]:
    parameters = list(policy.parameters())
    found = torch.autograd.grad(value, parameters, allow_unused=True)
    zeros = map(torch.zeros_like, parameters)
    return [zero if one is None else one for one, zero in zip(found, zeros, strict=True)]


@pytest.mark.parametrize("policy", policies())
def test_the_mean_gradient_over_all_designs_is_that_of_the_expected_reward(policy: Policy) -> None:
    """A baseline, 0.7, changes nothing."""
    expected = sum(probability(policy, design) * REWARD[design] for design in DESIGNS)
    wanted = gradient(torch.as_tensor(expected), policy)
    found = [torch.zeros_like(one) for one in wanted]
    for design in DESIGNS:
        weight = probability(policy, design).detach()
        parts = gradient(surrogate(policy, design, REWARD[design] - 0.7, 0.0), policy)
        found = [one + weight * part for one, part in zip(found, parts, strict=True)]
    torch.testing.assert_close(found, list(wanted), rtol=1e-9, atol=1e-12)
    assert max(one.abs().max() for one in found) > 1e-3


def test_the_gradient_of_the_entropy_is_that_of_the_whole_distribution() -> None:
    policy = policies()[0]
    chances = [probability(policy, design) for design in DESIGNS]
    wanted = gradient(torch.stack([-p * p.log() for p in chances]).sum(), policy)
    found = gradient(surrogate(policy, (0, 0, 0), 0.0, 1.0), policy)
    torch.testing.assert_close(found, wanted, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("policy", policies())
def test_a_number_draws_the_first_value_whose_cumulated_probability_exceeds_it(
    policy: Policy,
) -> None:
    for trial in range(40):
        numbers = uniforms(3, trial)
        design = drawn(policy, numbers)
        for place, number in enumerate(numbers):
            logits = policy.walk(lambda at, _, d=design: d[at])[place].detach()
            first = float(logits[0].exp() / logits.exp().sum())
            assert design[place] == (number >= first)


def learner() -> Learner:
    search = Search(Grid(SIZES), seed=1, trials=9)
    return Learner(search, Independent(SIZES), rate=0.1, entropy=0.0)


def test_a_step_makes_a_good_design_likelier_and_a_bad_one_less_likely() -> None:
    for value, sign in ((2.0, 1), (0.0, -1)):
        one = learner()
        one.learn(Outcome(0, (0, 0, 0), (1.0,)))
        assert probability(one.policy, (1, 1, 0)).item() == pytest.approx(1 / 8)
        one.learn(Outcome(1, (1, 1, 0), (value,)))
        assert sign * (probability(one.policy, (1, 1, 0)).item() - 1 / 8) > 0.01


def test_the_unit_of_the_metric_changes_nothing() -> None:
    one, other = learner(), learner()
    for trial, design in enumerate(DESIGNS):
        one.learn(Outcome(trial, design, (REWARD[design],)))
        other.learn(Outcome(trial, design, (1000.0 * REWARD[design] + 5.0,)))
    for a, b in zip(one.policy.parameters(), other.policy.parameters(), strict=True):
        torch.testing.assert_close(a, b)


def test_a_failed_trial_counts_as_the_worst_before_it() -> None:
    one, other = learner(), learner()
    one.learn(Outcome(0, (0, 1, 0), None))
    for trial, value in enumerate((3.0, 1.0, 2.0), 1):
        for each in (one, other):
            each.learn(Outcome(trial, (0, 0, 0), (value,)))
    one.learn(Outcome(4, (1, 1, 1), None))
    other.learn(Outcome(4, (1, 1, 1), (1.0,)))
    assert all(map(torch.equal, one.policy.parameters(), other.policy.parameters()))


def test_what_was_learned_is_of_the_history_alone() -> None:
    """Neither of what was asked before, nor of another search of the same object."""
    searches = [Search(Grid(SIZES), seed=seed, trials=9) for seed in (1, 2)]
    history = [Outcome(trial, design, (REWARD[design],)) for trial, design in enumerate(DESIGNS)]
    used = Reinforcement("lstm", rate=0.5)
    for length in (4, 8, 2, 7):
        for search in searches:
            fresh = Reinforcement("lstm", rate=0.5)
            seen = history[:length]
            assert used.propose(search, 8, 0, seen) == fresh.propose(search, 8, 0, seen)
            pair = (used.learner(search, seen), fresh.learner(search, seen))
            first, second = (list(each.policy.parameters()) for each in pair)
            assert all(map(torch.equal, first, second))


def test_an_unknown_policy_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^policy must be independent or lstm, got 'gru'$"):
        Reinforcement(policy="gru")
