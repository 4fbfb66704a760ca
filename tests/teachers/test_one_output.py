from collections import OrderedDict, namedtuple
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from jsonargparse import ArgumentParser
from torch import Tensor, nn

from distill.core.fingerprint import module_fields
from teachers import OneOutput

LOGITS, MAPS = torch.tensor([[1.0, 2.0]]), torch.zeros(1, 3, 4, 4)
Named = namedtuple("Named", ["logits", "maps"])


class Gives(nn.Module):
    """Whatever it was made with, for every image."""

    def __init__(self, given: Any) -> None:
        super().__init__()
        self.given = given

    def forward(self, image: Tensor) -> Any:
        return self.given


def answer(given: Any, output: str | int | None = None) -> Tensor:
    return OneOutput(Gives(given), output)(torch.zeros(1, 3, 8, 8))


@pytest.mark.parametrize(
    "given",
    [
        LOGITS,
        {"logits": LOGITS, "maps": MAPS},
        OrderedDict(loss=None, logits=LOGITS),
        Named(LOGITS, MAPS),
        SimpleNamespace(logits=LOGITS, hidden_states=None),
    ],
)
def test_logits_are_found_by_their_usual_name(given: object) -> None:
    assert answer(given) is LOGITS


@pytest.mark.parametrize(
    ("given", "output"),
    [
        ((LOGITS, MAPS), 1),
        ([LOGITS, MAPS], -1),
        ({"maps": MAPS}, "maps"),
        (Named(LOGITS, MAPS), "maps"),
        (Named(LOGITS, MAPS), 1),
        (SimpleNamespace(maps=MAPS), "maps"),
    ],
)
def test_the_output_that_is_named_is_given(given: object, output: str | int) -> None:
    assert answer(given, output) is MAPS


@pytest.mark.parametrize(
    ("given", "output", "message"),
    [
        (
            (LOGITS, MAPS),
            None,
            r"^output 'logits' of Gives is nothing, not a tensor; the network returns "
            r"0: a tensor \(1, 2\), 1: a tensor \(1, 3, 4, 4\)$",
        ),
        (
            {"out": LOGITS, "n": 3},
            "n",
            r"is a int, not a tensor; the network returns 'out': a tensor \(1, 2\)",
        ),
        (
            (LOGITS,),
            1,
            r"^output 1 of Gives is nothing, not a tensor; the network returns 0: a tensor",
        ),
        ({"out": LOGITS}, 0, r"^output 0 of Gives is nothing"),
        (LOGITS, "shape", r"^output 'shape' of Gives is nothing.*returns a tensor \(1, 2\)$"),
        (
            SimpleNamespace(),
            None,
            r"is nothing, not a tensor; the network returns a SimpleNamespace$",
        ),
    ],
)
def test_what_is_not_there_is_refused_with_what_is(
    given: object, output: Any, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        answer(given, output)


def test_the_normalization_is_carried() -> None:
    network = Gives(LOGITS)
    assert not hasattr(OneOutput(network), "input_normalization")
    network.input_normalization = ((0.5,), (0.2,))
    assert OneOutput(network).input_normalization == ((0.5,), (0.2,))


def test_caches_tell_two_outputs_apart() -> None:
    one, two = (module_fields("teacher", OneOutput(nn.Identity(), k)) for k in (0, 1))
    assert one != two


def test_works_as_a_class_path() -> None:
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--teacher", type=nn.Module)
    arguments = {"teacher": {"class_path": "torch.nn.Identity"}, "output": 1}
    spec = {"class_path": "teachers.OneOutput", "init_args": arguments}
    made = parser.instantiate(parser.parse_object({"teacher": spec})).teacher
    assert (type(made.network), made.output) == (nn.Identity, 1)
