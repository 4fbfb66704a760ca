"""REINFORCE (Williams, Machine Learning 1992, doi 10.1007/BF00992696) over the decisions.

As architecture search uses it (Zoph and Le, ICLR 2017, arXiv 1611.01578), with a running mean as
baseline. The advantage is divided by its running mean size, or the metric's unit would set the
step; the entropy is that of the whole distribution of each decision, with its gradient.
"""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from distill.core.randomness import fold
from distill.search.strategies.policies import Independent, Policy, Recurrent
from distill.search.strategy import Design, Outcome, Search, uniforms

DECAY, CLIP = 0.9, 3.0
RATES = {"independent": 0.3, "lstm": 0.01}


class Reinforcement:
    """Draws from a policy that every outcome in turn has changed by a step of Adam.

    A failed trial counts as the worst value before it.

    Args:
        policy: ``independent``, a distribution per decision; or ``lstm``, which reads each decision
            before it makes the next.
        rate: Of Adam; 0.3 for independent and 0.01 for lstm if None.
        entropy: Weight of the entropy.

    Raises:
        ValueError: If the policy is none of these.
    """

    def __init__(
        self,
        policy: Literal["independent", "lstm"] = "independent",
        rate: float | None = None,
        entropy: float = 0.01,
    ) -> None:
        if policy not in RATES:
            raise ValueError(f"policy must be independent or lstm, got {policy!r}")
        self.policy, self.entropy = policy, entropy
        self.rate = RATES[policy] if rate is None else rate
        self._learner: Learner | None = None

    def propose(
        self, search: Search, trial: int, attempt: int, history: Sequence[Outcome]
    ) -> Design:
        """The design of a trial, as :class:`distill.search.strategy.Strategy` says."""
        numbers = uniforms(len(search.sizes), search.seed, "policy", trial, attempt)
        return drawn(self.learner(search, history).policy, numbers)

    def learner(self, search: Search, history: Sequence[Outcome]) -> "Learner":
        """A learner of these outcomes: the one from before if they go on from its own."""
        known = self._learner
        kept = known is not None and known.search == search
        if known is None or not kept or known.seen != list(history[: len(known.seen)]):
            known = self._learner = Learner(search, self._new(search), self.rate, self.entropy)
        for outcome in history[len(known.seen) :]:
            known.learn(outcome)
        return known

    def _new(self, search: Search) -> Policy:
        if self.policy == "lstm":
            return Recurrent(search.sizes, fold(search.seed, "reinforcement"))
        return Independent(search.sizes)


class Learner:
    """A policy and what it has learned from.

    Args:
        search: The search.
        policy: Before any outcome.
        rate: Of Adam.
        entropy: Weight of the entropy.
    """

    def __init__(self, search: Search, policy: Policy, rate: float, entropy: float) -> None:
        self.search, self.policy, self.entropy = search, policy, entropy
        self.seen: list[Outcome] = []
        self._optimizer = torch.optim.Adam(policy.parameters(), lr=rate)
        self._worst: float | None = None
        self._baseline: float | None = None
        self._size: float | None = None

    def learn(self, outcome: Outcome) -> None:
        """Take a step along the gradient of an outcome."""
        self.seen.append(outcome)
        value = self._worst if outcome.values is None else outcome.value
        if value is None:
            return
        self._worst = value if self._worst is None else min(value, self._worst)
        self._optimizer.zero_grad()
        advantage = self._advantage(value)
        gain = surrogate(self.policy, outcome.design, advantage, self.entropy)
        torch.autograd.backward(-gain)
        self._optimizer.step()

    def _advantage(self, value: float) -> float:
        """The gain over the baseline in units of its mean size; both are moved afterwards."""
        if self._baseline is None:
            self._baseline = value
            return 0.0
        gain = value - self._baseline
        self._baseline = DECAY * self._baseline + (1 - DECAY) * value
        size = abs(gain) if self._size is None else self._size
        self._size = DECAY * size + (1 - DECAY) * abs(gain)
        return max(-CLIP, min(CLIP, gain / size)) if size > 0 else 0.0


def surrogate(policy: Policy, design: Design, advantage: float, entropy: float) -> Tensor:
    """A scalar whose gradient is REINFORCE's for one design, with the entropy's.

    Args:
        policy: The policy.
        design: Drawn from it.
        advantage: Of its value over the baseline.
        entropy: Weight of the decisions' entropies, each given the decisions before it.
    """
    logs = [one.log_softmax(0) for one in policy.walk(lambda place, _: design[place])]
    chosen = torch.stack([one[index] for one, index in zip(logs, design, strict=True)]).sum()
    entropies = torch.stack([-(one.exp() * one).sum() for one in logs]).sum()
    return advantage * chosen + entropy * entropies


@torch.no_grad()
def drawn(policy: Policy, numbers: Sequence[float]) -> Design:
    """The design that numbers in [0, 1) draw from a policy, one per decision."""
    design: list[int] = []

    def choose(place: int, logits: Tensor) -> int:
        below = logits.softmax(0).cumsum(0) <= numbers[place]
        design.append(min(int(below.sum()), len(logits) - 1))
        return design[-1]

    policy.walk(choose)
    return tuple(design)
