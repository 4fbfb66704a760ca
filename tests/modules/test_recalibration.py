import torch
from torch import Tensor, nn

from distill.modules import recalibrate
from tests.fixtures.elastic import elastic

BATCHES = [torch.randn(n, 1, 9, 9, generator=torch.Generator().manual_seed(n)) for n in (6, 5, 4)]


def test_statistics_are_the_means_over_batches() -> None:
    """Of each norm's inputs, when the norms before it use those of the batch."""
    network = nn.Sequential(
        nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.Dropout(0.5), nn.Conv2d(3, 2, 1)
    )
    network.append(nn.BatchNorm2d(2))
    nn.init.constant_(network[1].running_mean, 7.0)
    recalibrate(network, BATCHES)
    for place in (1, 4):
        means, variances = [], []
        for batch in BATCHES:
            maps: Tensor = batch
            for layer in [each for each in network[:place] if not isinstance(each, nn.Dropout)]:
                if isinstance(layer, nn.BatchNorm2d):
                    maps = nn.functional.batch_norm(
                        maps, None, None, layer.weight, layer.bias, training=True
                    )
                else:
                    maps = layer(maps)
            rows = maps.detach().transpose(0, 1).flatten(1).double().numpy()
            means.append(rows.mean(1))
            variances.append(rows.var(1, ddof=1))
        norm = network[place]
        for found, wanted in ((norm.running_mean, means), (norm.running_var, variances)):
            expected = torch.tensor(sum(wanted) / len(BATCHES))
            torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-6)


def test_everything_else_stays_as_it_is() -> None:
    network = elastic().extract()
    weights = [parameter.clone() for parameter in network.parameters()]
    momenta = [m.momentum for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    recalibrate(network, BATCHES)
    assert all(map(torch.equal, weights, network.parameters()))
    assert momenta == [m.momentum for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    assert not any(module.training for module in network.modules())


def test_the_order_of_epochs_before_does_not_matter() -> None:
    network = elastic().extract()
    recalibrate(network, BATCHES)
    once = {name: value.clone() for name, value in network.state_dict().items()}
    recalibrate(network, BATCHES[:1])
    recalibrate(network, BATCHES)
    assert all(torch.equal(value, once[name]) for name, value in network.state_dict().items())
