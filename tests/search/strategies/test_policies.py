import torch

from distill.search.strategies.policies import Independent, Recurrent


def test_independent_decisions_are_even_at_the_start() -> None:
    logits = Independent((2, 3)).walk(lambda *_: 0)
    assert [one.tolist() for one in logits] == [[0.0] * 2, [0.0] * 3]


def test_an_lstm_is_of_its_seed_and_draws_nothing_from_the_global_generator() -> None:
    torch.manual_seed(0)
    before = torch.get_rng_state()
    first, again, other = (Recurrent((2, 3), seed).walk(lambda *_: 0) for seed in (4, 4, 5))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(map(torch.equal, first, again))
    assert not any(map(torch.equal, first, other))
    assert {one.dtype for one in first} == {torch.float64}


def test_an_lstm_reads_what_was_chosen_before_and_nothing_of_later() -> None:
    policy = Recurrent((2, 3, 4), seed=4)
    one, other = (policy.walk(lambda place, _, c=c: c[place]) for c in ((0, 1, 0), (0, 2, 3)))
    assert [len(logits) for logits in one] == [2, 3, 4]
    assert [torch.equal(a, b) for a, b in zip(one, other, strict=True)] == [True, True, False]
