from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from distill.callbacks import Sparsify
from distill.callbacks.sparsify import n_of_m, smallest, sparsity
from distill.compress.pack import unpack
from distill.core.errors import RecipeError
from tests.fixtures.stopped import assert_resumes, assert_resumes_everywhere, callback, fit, recipe


def sparse(*more: dict[str, Any], **arguments: Any) -> dict[str, Any]:
    """15 steps of a student with three inner layers, the last of its zeros at step 9."""
    given = {"final": 0.8, "begin": 0.2, "end": 0.6, "every": 2} | arguments
    named = {"class_path": "distill.callbacks.Sparsify", "init_args": given}
    tree = recipe(None, "epoch", {"callbacks": [*more, named]})
    student = {"class_path": "students.resnet8", "init_args": {"num_classes": 10, "in_channels": 1}}
    tree["model"]["init_args"]["student"] = student
    return tree


def inner(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Weights of all convolutions but the first; the classifier is the last layer."""
    return {k: w for k, w in weights.items() if w.dim() == 4 and k != "conv1.weight"}


def zeros(weights: dict[str, torch.Tensor]) -> float:
    found = inner(weights)
    return sum(float((w == 0).sum()) for w in found.values()) / sum(
        w.numel() for w in found.values()
    )


class Watch(Sparsify):
    """Notes the zeros after each step."""

    seen: list[dict[str, torch.Tensor]] = []

    def on_train_batch_end(self, trainer: Any, pl_module: Any, *more: object) -> None:
        super().on_train_batch_end(trainer, pl_module, *more)
        state = pl_module.student.state_dict()
        Watch.seen.append({name: weight == 0 for name, weight in inner(state).items()})


def test_the_share_is_the_paper_s_cubic() -> None:
    assert [sparsity(step, 2, 10, 0.8) for step in (0, 2, 6, 10, 99)] == pytest.approx(
        [0, 0, 0.7, 0.8, 0.8]
    )


@pytest.mark.parametrize("share", [0.0, 0.25, 0.5, 0.75])
def test_exactly_the_smallest_of_all_together_are_chosen(share: float) -> None:
    weights = {"a": torch.randn(6, 5), "b": 3 * torch.randn(10, 3), "c": torch.randn(40)}
    masks = smallest(weights, share)
    assert sum(int((~mask).sum()) for mask in masks.values()) == round(share * 100)
    kept = torch.cat([weights[name][mask].abs() for name, mask in masks.items()])
    gone = torch.cat([weights[name][~mask].abs() for name, mask in masks.items()])
    assert gone.numel() == 0 or gone.max() <= kept.min()


def test_every_tensor_keeps_its_largest() -> None:
    weights = {"small": torch.tensor([1e-9, -2e-9]), "large": torch.arange(1.0, 9.0)}
    assert smallest(weights, 0.5)["small"].tolist() == [False, True]


@pytest.mark.parametrize(("n", "m"), [(2, 4), (1, 4), (1, 2)])
def test_n_of_every_m_input_channels_stay_and_they_are_the_largest(n: int, m: int) -> None:
    weight = torch.randn(3, 8, 3, 3)
    mask = n_of_m(weight, n, m)
    for out in range(3):
        for y in range(3):
            for x in range(3):
                for first in range(0, 8, m):
                    group = weight[out, first : first + m, y, x].abs()
                    kept = mask[out, first : first + m, y, x]
                    assert int(kept.sum()) == n
                    assert set(group[kept].tolist()) == set(group.sort().values[-n:].tolist())


def test_zeros_rise_as_said_and_stay_though_momentum_would_move_them(tmp_path: Path) -> None:
    tree = sparse()
    tree["trainer"]["callbacks"][0]["class_path"] = f"{__name__}.Watch"
    Watch.seen = []
    fit(tree, tmp_path / "run")
    shares = [
        zeros(seen | {"": torch.zeros(1)})
        for seen in ({k: ~v for k, v in s.items()} for s in Watch.seen)
    ]
    expected = {3: 0.0, 5: sparsity(5, 3, 9, 0.8), 7: sparsity(7, 3, 9, 0.8), 9: 0.8, 15: 0.8}
    for step, share in expected.items():
        assert shares[step - 1] == pytest.approx(share, abs=1e-4)
    for before, after in zip(Watch.seen, Watch.seen[1:], strict=False):
        assert all(bool((after[name] | ~mask).all()) for name, mask in before.items())
    weights = load_file(tmp_path / "run" / "student.safetensors")
    assert zeros(weights) == pytest.approx(0.8, abs=1e-4)
    assert all(bool(weights[name].all()) for name in ("conv1.weight", "fc.weight"))


def test_a_pattern_holds_in_the_weights_that_are_kept(tmp_path: Path) -> None:
    fit(sparse(pattern="2:4"), tmp_path / "run")
    weights = inner(load_file(tmp_path / "run" / "student.safetensors"))
    for weight in weights.values():
        groups = weight.movedim(1, -1).reshape(-1, 4)
        assert (groups != 0).sum(dim=1).unique().tolist() == [2]


def test_an_average_of_the_weights_is_as_sparse(tmp_path: Path) -> None:
    fit(sparse(callback("EMAWeightAveraging", decay=0.5)), tmp_path / "run")
    assert zeros(load_file(tmp_path / "run" / "student.safetensors")) == pytest.approx(
        0.8, abs=1e-4
    )


@pytest.mark.slow
def test_each_layer_for_itself_has_the_same_share(tmp_path: Path) -> None:
    fit(sparse(scope="layer"), tmp_path / "run")
    for weight in inner(load_file(tmp_path / "run" / "student.safetensors")).values():
        assert float((weight == 0).float().mean()) == pytest.approx(0.8, abs=2e-3)


def test_a_stopped_run_goes_on_to_the_same_bits(tmp_path: Path) -> None:
    assert_resumes(sparse(callback("EMAWeightAveraging", decay=0.5)), [6, 7], tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [{}, {"pattern": "2:4"}, {"scope": "layer"}], ids=str)
def test_it_goes_on_from_each_step(arguments: dict[str, Any], tmp_path: Path) -> None:
    assert_resumes_everywhere(sparse(**arguments), tmp_path)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"final": 1.0}, "final: must be above 0 and below 1, got 1.0"),
        ({"begin": 0.5, "end": 0.2}, "end: needs 0 <= begin <= end <= 1, got 0.5 and 0.2"),
        ({"end": 1.5}, "end: needs 0 <= begin <= end <= 1, got 0.0 and 1.5"),
        ({"every": 0}, "every: must be at least 1, got 0"),
        ({"pattern": "4:2"}, "pattern: must be unstructured or N:M with 0 < N < M, got '4:2'"),
        ({"scope": "net"}, "scope: must be global or layer, got 'net'"),
    ],
)
def test_what_cannot_be_is_told(arguments: dict[str, Any], told: str) -> None:
    with pytest.raises(RecipeError) as failed:
        Sparsify(**arguments)
    assert str(failed.value) == told


def test_a_recipe_that_cannot_be_is_told_before_training(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"final: must be above 0 and below 1, got 2"):
        fit(sparse(final=2.0), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("student", "told"),
    [
        (nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten(), nn.Linear(144, 10)), "no inner layer"),
        (nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 4)), "1.weight is all zeros"),
    ],
)
def test_a_network_with_nothing_to_make_sparse_is_told(student: nn.Module, told: str) -> None:
    if len(student) == 3 and isinstance(student[1], nn.Linear):
        nn.init.zeros_(student[1].weight)
    with pytest.raises(RecipeError, match=told):
        Sparsify().setup(None, student, "fit")  # type: ignore[arg-type]


def quantised(**settings: Any) -> dict[str, Any]:
    tree = sparse()
    model = tree["model"]["init_args"]
    given = {"model": model["student"], "image": [1, 8, 8], **settings}
    model["student"] = {"class_path": "distill.compress.quantized", "init_args": given}
    return tree


def test_a_quantised_student_has_zeros_and_codes_in_one_file(tmp_path: Path) -> None:
    result = fit(quantised(), tmp_path / "run")
    weights = load_file(tmp_path / "run" / "student.safetensors")
    back = unpack(tmp_path / "run" / "student.packed.safetensors")
    for name, weight in inner(weights).items():
        assert not back[name][weight == 0].any()
    assert zeros(weights) == pytest.approx(0.8, abs=1e-4)
    assert result["student"]["bits"]["weights"] == 8
    assert result["student"]["nonzero"] < 0.25
    assert result["student"]["stored_ratio"] > 9


def test_levels_without_zero_cannot_be_sparse(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"layer1.0.conv1.weight is rounded to levels without 0"):
        fit(quantised(weights=4, convention="dorefa"), tmp_path / "run")


@pytest.mark.slow
def test_a_sparse_quantised_run_resumes_to_the_same_bits(tmp_path: Path) -> None:
    assert_resumes_everywhere(quantised(), tmp_path, straight=1)
