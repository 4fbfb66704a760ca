import pytest
import torch
from torch import nn

from students.elastic_layers import ElasticConv, ElasticLinear, ElasticNorm, ElasticUnit

IMAGE = torch.randn(2, 5, 7, 7, generator=torch.Generator().manual_seed(0))


def convolved(maps: torch.Tensor, weight: torch.Tensor, stride: int, depthwise: bool) -> list:
    """By loops over images, channels and places."""
    edge = weight.shape[-1] // 2
    padded = nn.functional.pad(maps, [edge] * 4).double()
    size = (maps.shape[-1] - 1) // stride + 1
    found = torch.zeros(len(maps), len(weight), size, size).double()
    for after in range(len(weight)):
        before = [after] if depthwise else range(weight.shape[1])
        for y in range(size):
            for x in range(size):
                for place, channel in enumerate(before):
                    window = padded[
                        :, channel, y * stride : y * stride + 2 * edge + 1, x * stride :
                    ][:, :, : 2 * edge + 1]
                    found[:, after, y, x] += (window * weight[after, place].double()).sum((1, 2))
    return found


@pytest.mark.parametrize(("depthwise", "stride"), [(False, 1), (False, 2), (True, 1)])
def test_a_part_is_the_first_channels_and_the_transformed_middle(
    depthwise: bool, stride: int
) -> None:
    layer = ElasticConv(6, 6, (3, 7, 5), stride, depthwise)
    for matrix in layer.transforms:
        nn.init.normal_(matrix)
    layer.used = (5, 5 if depthwise else 4, 3)
    weight = layer.weight.detach()[: layer.used[1], : 1 if depthwise else 5]
    five, three = (torch.empty(*weight.shape[:2], size, size) for size in (5, 3))
    for after in range(weight.shape[0]):
        for before in range(weight.shape[1]):
            middle = weight[after, before, 1:6, 1:6].reshape(25)
            five[after, before] = (layer.transforms[0] @ middle).view(5, 5)
            middle = five[after, before, 1:4, 1:4].reshape(9)
            three[after, before] = (layer.transforms[1] @ middle).view(3, 3)
    expected = convolved(IMAGE, three.detach(), stride, depthwise)
    torch.testing.assert_close(layer(IMAGE), expected.float(), rtol=1e-4, atol=1e-4)


def test_a_new_transform_leaves_the_middle_as_it_is() -> None:
    layer = ElasticConv(4, 4, (7, 3))
    layer.used = (4, 4, 3)
    assert torch.equal(layer.part(), layer.weight[:, :, 2:5, 2:5])


@pytest.mark.parametrize("momentum", [0.1, None])
def test_a_norm_is_that_of_the_first_channels_alone(momentum: float | None) -> None:
    elastic, plain = ElasticNorm(8, momentum=momentum), nn.BatchNorm2d(5, momentum=momentum)
    for _ in range(3):
        maps = torch.randn(4, 5, 3, 3)
        assert torch.equal(elastic(maps), plain(maps))
    for norm in (elastic, plain):
        norm.eval()
    assert torch.equal(elastic(IMAGE), plain(IMAGE))
    assert torch.equal(elastic.running_mean[:5], plain.running_mean)
    assert torch.equal(elastic.running_var[:5], plain.running_var)
    assert torch.equal(elastic.num_batches_tracked, plain.num_batches_tracked)
    assert not elastic.running_mean[5:].any()
    assert (elastic.running_var[5:] == 1).all()


def test_a_norm_that_does_not_track_uses_its_batch_and_stays_as_it_is() -> None:
    norm, plain = ElasticNorm(8), nn.BatchNorm2d(5)
    norm.track_running_stats = False
    assert torch.equal(norm(IMAGE), plain(IMAGE))
    assert not norm.running_mean.any()
    assert norm.num_batches_tracked == 0


def test_a_linear_layer_reads_the_first_features() -> None:
    layer, features = ElasticLinear(8, 3), torch.randn(4, 5)
    expected = features @ layer.weight[:, :5].T + layer.bias
    torch.testing.assert_close(layer(features), expected)


def test_a_reordered_unit_gives_its_channels_in_that_order() -> None:
    unit, order = ElasticUnit(5, 4).eval(), torch.tensor([2, 0, 3, 1])
    nn.init.normal_(unit.norm.bias)
    unit.norm.running_mean.normal_()
    before = unit(IMAGE)
    with torch.no_grad():
        unit.reorder(order)
    assert torch.equal(unit(IMAGE), before[:, order])
