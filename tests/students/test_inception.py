import pytest
import torch
from torch import Tensor
from torchvision import models

import students
from tests.students.calls import calls_of

LEAST = {"googlenet": 15, "inception_v3": 75}


@pytest.mark.parametrize("name", LEAST)
def test_training_gives_logits_not_a_tuple(name: str) -> None:
    assert isinstance(getattr(students, name)(5)(torch.randn(2, 3, 80, 80)), Tensor)


@pytest.mark.parametrize("name", LEAST)
def test_has_torchvisions_weights_without_the_auxiliary_ones(name: str) -> None:
    with torch.device("meta"):
        own = getattr(students, name)(10)
        builder = {"googlenet": models.GoogLeNet, "inception_v3": models.Inception3}[name]
        whole = builder(10, aux_logits=True, init_weights=False)
    kept = {k: v.shape for k, v in whole.state_dict().items() if not k.lower().startswith("aux")}
    assert {k: v.shape for k, v in own.state_dict().items()} == kept
    assert len(kept) < len(whole.state_dict())


@pytest.mark.parametrize(
    ("name", "size", "stages", "embedding"),
    [
        (
            "googlenet",
            64,
            {"inception3b": (480, 8), "inception4e": (832, 4), "inception5b": (1024, 2)},
            1024,
        ),
        (
            "inception_v3",
            107,
            {"Mixed_5d": (288, 11), "Mixed_6e": (768, 5), "Mixed_7c": (2048, 2)},
            2048,
        ),
    ],
)
def test_documented_paths_give_stages_and_embedding(
    name: str, size: int, stages: dict[str, tuple[int, int]], embedding: int
) -> None:
    with torch.no_grad():
        calls = calls_of(getattr(students, name)(5, 1).eval(), torch.randn(1, 1, size, size))
    for path, (width, side) in stages.items():
        assert calls[path][0].output.shape == (1, width, side, side)
    assert calls["fc"][0].input.shape == (1, embedding)


@pytest.mark.parametrize("name", LEAST)
def test_too_small_images_are_refused_and_the_next_size_is_not(name: str) -> None:
    size = LEAST[name]
    network = getattr(students, name)(5).eval()
    message = f"^{name} needs images of at least {size}x{size} pixels, got {size - 1}x{size}$"
    with pytest.raises(ValueError, match=message):
        network(torch.zeros(1, 3, size - 1, size))
    with torch.no_grad():
        assert network(torch.zeros(1, 3, size, size)).shape == (1, 5)
