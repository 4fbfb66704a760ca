import math

import pytest
import torch
from torch import Tensor, nn

import students
from tests.students.calls import calls_of

NAMES = ("vit32", "deit32", "swin32")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("sizes", [(8, 1), (8, 2), (28, 4), (28, 2), (32, 4), (32, 2)])
def test_images_of_the_usual_sizes_fit(name: str, sizes: tuple[int, int]) -> None:
    image_size, patch_size = sizes
    network = getattr(students, name)(5, 1, image_size=image_size, patch_size=patch_size).eval()
    assert network(torch.randn(2, 1, image_size, image_size)).shape == (2, 5)


@pytest.mark.parametrize("name", NAMES)
def test_is_small(name: str) -> None:
    assert 0.5e6 < sum(p.numel() for p in getattr(students, name)(100).parameters()) < 2e6


@pytest.mark.parametrize(("name", "prefix"), [("vit32", 1), ("deit32", 2)])
def test_documented_paths_give_tokens_and_embedding(name: str, prefix: int) -> None:
    calls = calls_of(getattr(students, name)(5), torch.randn(2, 3, 32, 32))
    for block in range(6):
        assert calls[f"blocks.{block}"][0].output.shape == (2, prefix + 64, 128)
    for place, head in enumerate(("head", "head_dist")[:prefix]):
        token = calls["norm"][0].output[:, place]
        assert torch.equal(calls[head][0].input, token)
        assert calls[head][0].output.shape == (2, 5)


@pytest.mark.parametrize(("name", "prefix"), [("vit32", 1), ("deit32", 2)])
def test_tokens_are_patches_row_by_row_behind_the_prefix(name: str, prefix: int) -> None:
    network = getattr(students, name)(5).eval()
    nn.init.zeros_(network.pos_embed)
    image = torch.zeros(2, 3, 32, 32)
    image[0, :, 4 * 2 : 4 * 3, 4 * 5 : 4 * 6] = 1
    tokens = calls_of(network, image)["blocks.0"][0].input
    moved = (tokens[0] != tokens[1]).any(1).nonzero().flatten().tolist()
    assert moved == [prefix + 2 * 8 + 5]


def test_documented_paths_of_swin_give_channels_last_maps_and_embedding() -> None:
    calls = calls_of(students.swin32(5), torch.randn(2, 3, 32, 32))
    for stage, (side, width) in enumerate(((16, 48), (8, 96), (4, 192))):
        assert calls[f"layers.{stage}"][0].output.shape == (2, side, side, width)
    average = calls["norm"][0].output.mean((1, 2))
    torch.testing.assert_close(calls["head.fc"][0].input, average)
    assert calls["head.fc"][0].input.shape == (2, 192)


def test_windows_of_swin_keep_to_themselves_and_every_second_block_shifts_them() -> None:
    network = students.swin32(5).double().eval()
    image = torch.randn(1, 3, 32, 32).double()
    changed = image.clone()
    changed[..., :2, :2] += 1  # the first patch, in the first window of 4x4
    first = [calls_of(network, each)["layers.0.blocks.0"][0].output for each in (image, changed)]
    moved = (first[0] != first[1]).any(-1)[0]
    assert moved[:4, :4].all()
    assert moved.sum() == 16
    second = [calls_of(network, each)["layers.0.blocks.1"][0].output for each in (image, changed)]
    assert (second[0] != second[1]).any(-1)[0, :6, :6].all()


@pytest.mark.parametrize("training", [True, False])
def test_logits_of_deit_are_the_mean_of_both_heads(training: bool) -> None:
    network = students.deit32(5).train(training)
    found: list[Tensor] = []
    for head in (network.head, network.head_dist):
        head.register_forward_hook(lambda _, __, output: found.append(output))
    logits = network(torch.randn(2, 3, 32, 32))
    torch.testing.assert_close(logits, (found[0] + found[1]) / 2)
    assert not torch.allclose(found[0], found[1])


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_random_in_training(name: str) -> None:
    network, image = getattr(students, name)(5), torch.randn(2, 3, 32, 32)
    assert torch.equal(network(image), network(image))


@pytest.mark.parametrize("name", NAMES)
def test_images_of_another_size_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"^{name} needs images of 32x32 pixels, got 28x28$"):
        getattr(students, name)(5)(torch.zeros(1, 3, 28, 28))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"image_size": 0}, "image_size must be at least 1, got 0"),
        ({"patch_size": -2}, "patch_size must be at least 1, got -2"),
        (
            {"image_size": 30, "patch_size": 4},
            "image_size must be a multiple of patch_size 4, got 30",
        ),
    ],
)
def test_sizes_that_do_not_fit_are_refused_by_name(
    name: str, arguments: dict[str, int], message: str
) -> None:
    with pytest.raises(ValueError, match=f"^{message}$"):
        getattr(students, name)(5, **arguments)


def test_attention_of_vit_follows_the_definition() -> None:
    """One block by hand, in float64: softmax attention and a GELU layer, each behind a norm."""
    network = students.vit32(5).double().eval()
    call = calls_of(network, torch.randn(2, 3, 32, 32).double())["blocks.0"][0]
    block, tokens = network.blocks[0], call.input
    q, k, v = block.attn.qkv(block.norm1(tokens)).view(2, 65, 3, 4, 32).permute(2, 0, 3, 1, 4)
    mixed = (q @ k.transpose(-2, -1) / math.sqrt(32)).softmax(-1) @ v
    tokens = tokens + block.attn.proj(mixed.transpose(1, 2).reshape(2, 65, 128))
    hidden = block.mlp.fc1(block.norm2(tokens))
    expected = tokens + block.mlp.fc2(torch.nn.functional.gelu(hidden))
    torch.testing.assert_close(call.output, expected)
