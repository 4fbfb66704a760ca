import enum
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest
from torch import Tensor, nn
from torch.optim import Optimizer

from distill.core.errors import RecipeError
from distill.core.trust import TRUSTED
from distill.core.walk import Walk

RELU = {"class_path": "torch.nn.ReLU", "init_args": {"inplace": True}}


class Mode(enum.Enum):
    """A choice of two."""

    ON = 1
    OFF = 2


@dataclass
class Part:
    """A part with a network in it."""

    network: nn.Module
    weight: float = 1.0


Layer = Callable[..., nn.Module]
GOOD = [
    (RELU, nn.Module),
    ("torch.nn.ReLU", nn.Module | None),
    (None, nn.Module | None),
    ([RELU, "torch.nn.Tanh"], Sequence[nn.Module]),
    ([RELU], Iterable[nn.Module] | nn.Module),
    (RELU, Iterable[nn.Module] | nn.Module),
    ([1, RELU], tuple[int, nn.Module]),
    ({"a": RELU}, dict[str, nn.Module]),
    ({"student": RELU}, dict[Literal["student"], nn.Module]),
    ({"network": RELU, "weight": 2}, Part),
    ({"a": {"network": "torch.nn.ReLU"}}, dict[str, Part]),
    ("torch.nn.LayerNorm", Layer),
    ("torch.optim.Adam", Callable[[Iterable[Any]], Optimizer]),
    ("torch.nn.ReLU", type[nn.Module]),
    ("ddp", str | nn.Module),
    ("16-mixed", str | nn.Module),
    (0.1, float | Tensor),
    ("runs/a b", Path | str),
    ("ON", Mode),
    ("relu", str | Callable[[Tensor], Tensor]),
    ({"a": [1, "x", None, {"b": 2.5}]}, Any),
    ("any text: at all", object),
]


@pytest.mark.parametrize(("value", "annotation"), GOOD)
def test_values_of_their_places_type_pass(value: Any, annotation: Any) -> None:
    Walk(TRUSTED).visit("key", value, annotation)


BAD = [
    (RELU, Optimizer, "key.class_path: torch.nn.ReLU is neither a class of type Optimizer"),
    (RELU, str | None, "key: needs a text or null, got"),
    (RELU, Any, "key: takes plain values only"),
    ([{"a": RELU}], object, "key.0.a: takes plain values only"),
    ("{class_path: torch.nn.ReLU}", Any, "key: takes plain values only"),
    (RELU, Tensor, "takes no class"),
    (RELU, Callable[[int], float], "takes no class"),
    (RELU, Callable[..., Any], "takes no class"),
    (RELU, Path | None, "takes no class"),
    ("recipe.yaml", nn.Module, "outside the trusted packages"),
    ("a/recipe.yaml", nn.Module, "key: needs a class_path of type Module, got 'a/recipe.yaml'"),
    ("a/recipe.yaml", str | nn.Module, "key: needs a word or"),
    ("{class_path: x}", str | nn.Module, "key: needs a word or"),
    ("lambda x: x()", str | Callable[[Tensor], Tensor], "key: needs a word or"),
    ("lambda x: x", Layer, "key: needs the class_path of a class of type Module, got 'lambda"),
    ("list.txt", list[nn.Module], "key: needs a list, each a class_path of type Module"),
    ("terms", dict[str, Part], "key: needs a mapping"),
    ("{a: 1}", dict[str, float], "key: needs a mapping, each a number, got '{a: 1}'"),
    ("[1]", Sequence[int], "key: needs a list, each a whole number"),
    ({"a": 1}, nn.Module, "key: needs a class_path of type Module, got"),
    ([RELU], nn.Module, "key: needs a class_path of type Module, got"),
    (3, nn.Module, "key: needs a class_path of type Module, got 3"),
    (None, nn.Module, "key: must not be null"),
    ("torch.nn.Module", nn.Module, "base class"),
    ("torch.optim.Optimizer", Callable[..., Optimizer], "base class"),
    ("torch.optim.Adam", type[nn.Module], "of type Module"),
    ({"teacher": RELU}, dict[Literal["student"], nn.Module], "key.teacher: needs student"),
    ({"keys": RELU}, dict[str, nn.Module], "'keys' is taken"),
    ({3: RELU}, dict[str, nn.Module], "key.3: a name begins with a letter, got 3"),
    ({"network": RELU, "wieght": 1}, Part, "key.wieght: .*did you mean 'weight'"),
    ({"class_path": "torch.nn.ReLU", "dict_kwargs": {}}, nn.Module, "key.dict_kwargs: put"),
    ({"class_path": "torch.nn.ReLU", "init_args": [1]}, nn.Module, "needs keys and values"),
    ({"class_path": "torch.nn.Linear"}, nn.Module, "key.in_features: Linear needs it"),
    ([1, RELU, RELU], tuple[int, nn.Module], "key: needs a list of 2"),
    (2**64, float | Tensor, "key: must be a number of 64 bits"),
    (float("nan"), Any, "key: must be finite"),
]


@pytest.mark.parametrize(("value", "annotation", "message"), BAD)
def test_other_values_are_refused_by_key(value: Any, annotation: Any, message: str) -> None:
    with pytest.raises(RecipeError, match=message) as told:
        Walk(TRUSTED).visit("key", value, annotation)
    assert len(str(told.value)) < 300


def test_a_text_that_names_a_file_is_no_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Walk(TRUSTED).visit("key", "spec", str | nn.Module)
    (tmp_path / "spec").write_text("class_path: torch.nn.ReLU")
    with pytest.raises(RecipeError, match="key: needs a word or"):
        Walk(TRUSTED).visit("key", "spec", str | nn.Module)


@pytest.mark.parametrize("annotation", [Any, list[nn.Module], nn.Module | dict[str, Any]])
def test_endless_nesting_is_refused(annotation: Any) -> None:
    value: Any = 1
    for _ in range(200):
        value = {"a": [value]}
    with pytest.raises(RecipeError, match=r"levels deep|needs"):
        Walk(TRUSTED).visit("key", value, annotation)


def test_files_of_weights_for_timm_are_left_to_the_toolkit() -> None:
    for name in ("checkpoint_path", "pretrained_cfg", "pretrained_cfg_overlay"):
        given = {"model_name": "resnet10t", name: {"file": "x"} if "cfg" in name else "x"}
        spec = {"class_path": "timm.create_model", "init_args": given}
        with pytest.raises(RecipeError, match=f"key.{name}: may not be given in a recipe"):
            Walk(TRUSTED).visit("key", spec, nn.Module)


def test_every_object_is_noted_with_its_key() -> None:
    walk = Walk(TRUSTED)
    members = {"class_path": "teachers.Ensemble", "init_args": {"members": [RELU]}}
    walk.visit("model", members, nn.Module)
    assert [(node.key, node.target.__name__) for node in walk.nodes] == [
        ("model", "Ensemble"),
        ("model.members.0", "ReLU"),
    ]


def hands_on(name: str, **kwargs: Any) -> nn.Module:
    return nn.Identity()


@pytest.mark.parametrize(
    ("path", "instead"),
    [
        (f"{__name__}.hands_on", "one that lists it"),
        ("timm.create_model", "students.timm_model or teachers.timm_model"),
        (
            "timm.models.vision_transformer.vit_tiny_patch16_224",
            "students.timm_model or teachers.timm_model",
        ),
    ],
)
def test_arguments_that_are_only_handed_on_are_refused_with_what_to_name(
    path: str, instead: str
) -> None:
    spec = {"class_path": path, "init_args": {"num_classes": 3}}
    with pytest.raises(RecipeError) as caught:
        Walk((*TRUSTED, "tests")).visit("student", spec, nn.Module)
    function = path.rpartition(".")[2]
    told = f"{function} has no argument 'num_classes', only **kwargs, which cannot be checked"
    assert str(caught.value) == f"student.num_classes: {told}: name {instead}"
