import copy

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from students import crnn


def lines(n: int = 3, height: int = 16, width: int = 96) -> Tensor:
    return torch.randn(n, 1, height, width, generator=torch.Generator().manual_seed(0))


def test_logits_follow_the_definition() -> None:
    """Convolutions to one row, both directions of the LSTM along it, a linear layer per step."""
    torch.manual_seed(0)
    network = crnn(7, height=16, in_channels=1).double().eval()
    weights, maps = network.state_dict(), lines(n=2, width=24).double()
    for stage, pool in enumerate(((2, 2), (2, 2), (2, 1), None), start=1):
        padding = 1 if pool else 0
        maps = F.conv2d(maps, weights[f"backbone.conv{stage}.weight"], padding=padding)
        maps = (maps / (1 + 1e-5) ** 0.5).clamp(min=0)  # a fresh batch norm's statistics
        maps = F.max_pool2d(maps, pool) if pool else maps
    columns = maps[:, :, 0].permute(2, 0, 1)
    states = []
    for suffix, order in (("", range(6)), ("_reverse", range(5, -1, -1))):
        named = [
            f"rnn.{kind}_l0{suffix}" for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        ]
        w_x, w_h, b_x, b_h = (weights[name] for name in named)
        h = c = torch.zeros(2, 64, dtype=torch.float64)
        said = {}
        for step in order:
            i, f, g, o = (columns[step] @ w_x.T + b_x + h @ w_h.T + b_h).chunk(4, dim=1)
            c = f.sigmoid() * c + i.sigmoid() * g.tanh()
            said[step] = h = o.sigmoid() * c.tanh()
        states.append(torch.stack([said[step] for step in range(6)], dim=1))
    expected = torch.cat(states, dim=2) @ weights["fc.weight"].T + weights["fc.bias"]
    torch.testing.assert_close(network(lines(n=2, width=24).double()), expected)


def test_documented_paths_give_columns_and_steps() -> None:
    network, shapes = crnn(11, height=24, in_channels=1), {}
    for path in ("backbone", "backbone.pool1", "backbone.pool2", "backbone.pool3", "fc"):

        def note(_: nn.Module, given: tuple[Tensor], output: Tensor, path: str = path) -> None:
            shapes[path] = tuple((given[0] if path == "fc" else output).shape)

        network.get_submodule(path).register_forward_hook(note)
    network(lines(height=24))
    assert shapes == {
        "backbone.pool1": (3, 8, 12, 48),
        "backbone.pool2": (3, 16, 6, 24),
        "backbone.pool3": (3, 32, 3, 24),
        "backbone": (3, 64, 1, 24),
        "fc": (3, 24, 128),
    }


@pytest.mark.parametrize(("width", "steps"), [(96, 24), (99, 24), (4, 1)])
def test_there_is_a_step_for_every_4_pixels_of_width(width: int, steps: int) -> None:
    network = crnn(5, height=8, in_channels=1).eval()
    assert network(lines(height=8, width=width)).shape == (3, steps, 5)


def test_gradient_reaches_every_parameter() -> None:
    network = crnn(5, height=16, in_channels=1)
    network(lines()).square().sum().backward()
    assert [n for n, p in network.named_parameters() if not p.grad.count_nonzero()] == []


def test_batch_and_layout_do_not_matter_in_evaluation() -> None:
    """Up to the order of additions: float32 keeps 7 digits."""
    network = crnn(5, height=16, in_channels=1).eval()
    with torch.no_grad():
        expected = network(lines())
        alone = network(lines()[:1])
        last = copy.deepcopy(network).to(memory_format=torch.channels_last)
        turned = last(lines().contiguous(memory_format=torch.channels_last))
    torch.testing.assert_close(alone, expected[:1], rtol=0, atol=1e-5)
    torch.testing.assert_close(turned, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_classes": 0, "height": 16}, "num_classes must be at least 1, got 0"),
        (
            {"num_classes": 5, "height": 16, "in_channels": 0},
            "in_channels must be at least 1, got 0",
        ),
        ({"num_classes": 5, "height": 20}, "height must be a multiple of 8, got 20"),
        ({"num_classes": 5, "height": 0}, "height must be a multiple of 8, got 0"),
    ],
)
def test_bad_arguments_are_refused_by_name(arguments: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}$"):
        crnn(**arguments)


@pytest.mark.parametrize(("height", "width"), [(24, 96), (16, 3)])
def test_lines_of_another_size_are_refused(height: int, width: int) -> None:
    network = crnn(5, height=16, in_channels=1)
    with pytest.raises(ValueError, match=rf"^crnn needs images 16 high .* got {height}x{width}$"):
        network(lines(height=height, width=width))
