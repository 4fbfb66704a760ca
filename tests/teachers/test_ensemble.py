import numpy as np
import pytest
import torch
from jsonargparse import ArgumentParser
from torch import Tensor, nn

from teachers import Ensemble


class Fixed(nn.Module):
    """Gives the same logits for every image."""

    def __init__(self, logits: Tensor) -> None:
        super().__init__()
        self.logits = logits

    def forward(self, image: Tensor) -> Tensor:
        return self.logits


def normalized(mean: float) -> nn.Module:
    network = nn.Linear(3, 2)
    network.input_normalization = ((mean,), (1.0,))
    return network


def numpy_mean(members: list[np.ndarray], weights: list[float]) -> np.ndarray:
    """The weighted mean distribution, image by image and member by member."""
    mean = np.zeros_like(members[0])
    for logits, weight in zip(members, weights, strict=True):
        for row, values in enumerate(logits):
            exponentials = np.exp(values - values.max())
            mean[row] += weight / sum(weights) * exponentials / exponentials.sum()
    return mean


@pytest.mark.parametrize("weights", [None, [1.0, 2.0, 5.0]])
def test_output_is_the_log_of_the_mean_distribution(weights: list[float] | None) -> None:
    members = list(np.random.default_rng(0).normal(0, 3, (3, 4, 5)))
    ensemble = Ensemble([Fixed(torch.from_numpy(logits)) for logits in members], weights)
    output = ensemble(torch.zeros(4))
    expected = numpy_mean(members, weights or [1.0, 1.0, 1.0])
    np.testing.assert_allclose(output.numpy(), np.log(expected), rtol=1e-12)
    np.testing.assert_allclose(output.softmax(1).numpy(), expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("given", "got"),
    [
        (torch.bfloat16, torch.float32),
        (torch.float16, torch.float32),
        (torch.float32, torch.float32),
        (torch.float64, torch.float64),
    ],
)
def test_output_has_at_least_float32(given: torch.dtype, got: torch.dtype) -> None:
    logits = torch.zeros(2, 3, dtype=given)
    assert Ensemble([Fixed(logits), Fixed(logits)])(torch.zeros(2)).dtype == got


def test_confident_members_that_disagree_give_finite_logits() -> None:
    """Half the mass each; the probabilities in between are below float32's smallest number."""
    first, second = torch.tensor([[1e4, 0.0, -1e4]]), torch.tensor([[-1e4, 0.0, 1e4]])
    output = Ensemble([Fixed(first), Fixed(second)])(torch.zeros(1))
    assert output.isfinite().all()
    torch.testing.assert_close(output.softmax(1), torch.tensor([[0.5, 0.0, 0.5]]))


@pytest.mark.parametrize(
    ("first", "second", "told"),
    [((2, 3), (2, 4), r"\(2, 3\) and \(2, 4\)"), ((2, 3, 1), (2, 3, 1), r"\(2, 3, 1\)")],
)
def test_logits_must_be_of_one_shape(
    first: tuple[int, ...], second: tuple[int, ...], told: str
) -> None:
    ensemble = Ensemble([Fixed(torch.zeros(first)), Fixed(torch.zeros(second))])
    message = rf"^members must give logits of one shape \(b, k\), got {told}$"
    with pytest.raises(ValueError, match=message):
        ensemble(torch.zeros(2))


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([1.0], r"^weights must be 2, one per member, got \[1.0\]$"),
        ([], r"^weights must be 2, one per member, got \[\]$"),
        ([1.0, 0.0], r"^weights must be positive and finite, got \[1.0, 0.0\]$"),
        ([1.0, float("nan")], r"^weights must be positive and finite, got \[1.0, nan\]$"),
        ([1.0, float("inf")], r"^weights must be positive and finite, got \[1.0, inf\]$"),
    ],
)
def test_weights_must_be_one_positive_number_per_member(weights: list[float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Ensemble([nn.Linear(3, 2), nn.Linear(3, 2)], weights)


def test_no_members_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^members must name at least one network, got none$"):
        Ensemble([])


def test_common_normalization_is_carried_on() -> None:
    ensemble = Ensemble([normalized(0.5), normalized(0.5), nn.Linear(3, 2)])
    assert ensemble.input_normalization == ((0.5,), (1.0,))


def test_members_without_normalization_leave_none() -> None:
    assert not hasattr(Ensemble([nn.Linear(3, 2)]), "input_normalization")


def test_each_member_normalises_its_own_images_where_they_differ() -> None:
    members = [nn.Sequential(nn.Flatten(), nn.Linear(3, 2)) for _ in range(2)]
    given = [((0.5,), (1.0,)), ((0.25,), (0.5,))]
    for member, normalization in zip(members, given, strict=True):
        member.input_normalization = normalization
    ensemble = Ensemble(members)
    assert ensemble.input_normalization == ((0.0,), (1.0,))
    image = torch.rand(4, 1, 1, 3)
    first, second = members[0](image - 0.5), members[1]((image - 0.25) / 0.5)
    expected = (first.softmax(1) + second.softmax(1)) / 2
    torch.testing.assert_close(ensemble(image).softmax(1), expected)


def test_a_member_without_normalisation_beside_different_ones_is_refused() -> None:
    told = r"member 1 carries none, got \(\(0.25,\), \(1.0,\)\) and \(\(0.5,\), \(1.0,\)\)"
    message = rf"^members must all carry their input_normalization: {told}$"
    with pytest.raises(ValueError, match=message):
        Ensemble([normalized(0.5), nn.Linear(3, 2), normalized(0.25)])


def test_members_of_other_channels_are_refused() -> None:
    members = [normalized(0.5), normalized(0.25)]
    members[1].input_normalization = ((0.5,) * 3, (1.0,) * 3)
    message = r"^members must take images of the same channels, got 1 and 3$"
    with pytest.raises(ValueError, match=message):
        Ensemble(members)


@pytest.mark.parametrize("weights", [None, [1.0, 1.1, 0.9]])
def test_the_most_confident_member_speaks_for_an_image(weights: list[float] | None) -> None:
    members = np.random.default_rng(1).normal(0, 3, (3, 8, 5))
    ensemble = Ensemble(
        [Fixed(torch.from_numpy(logits)) for logits in members], weights, "most_confident"
    )
    output = ensemble(torch.zeros(8)).softmax(1).numpy()
    speakers = set()
    for row in range(8):
        predicted = [np.exp(logits[row]) / np.exp(logits[row]).sum() for logits in members]
        scores = [w * p.max() for w, p in zip(weights or [1, 1, 1], predicted, strict=True)]
        speaker = max(range(3), key=lambda member, scores=scores: scores[member])
        speakers.add(speaker)
        np.testing.assert_allclose(output[row], predicted[speaker], rtol=1e-12)
    assert len(speakers) > 1


def test_an_unknown_combination_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^combine must be mean or most_confident, got 'median'$"):
        Ensemble([nn.Linear(3, 2)], combine="median")


def test_weights_do_not_enter_the_checkpoint() -> None:
    names = set(Ensemble([nn.Linear(3, 2), nn.Linear(3, 2)], [1.0, 2.0]).state_dict())
    assert names == {f"members.{i}.{name}" for i in (0, 1) for name in ("weight", "bias")}


def test_works_as_a_class_path() -> None:
    member = {"class_path": "torch.nn.Linear", "init_args": {"in_features": 3, "out_features": 2}}
    arguments = {"members": [member, member], "weights": [1, 3]}
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--teacher", type=nn.Module)
    spec = {"class_path": "teachers.Ensemble", "init_args": arguments}
    teacher = parser.instantiate(parser.parse_object({"teacher": spec})).teacher
    assert teacher(torch.zeros(4, 3)).shape == (4, 2)
