import itertools

import pytest
import torch
from torch import Tensor, nn

from students import MixedCells, from_architecture
from students.cells import Cells

OPS = ["none", "skip", "pool3", "sep3", "conv3"]
IMAGE = torch.randn(4, 1, 7, 7, generator=torch.Generator().manual_seed(0))


def mixed(**changes: object) -> MixedCells:
    torch.manual_seed(0)
    given = {"cells": 3, "width": 4, "nodes": 2, "reduce_at": [1], "ops": OPS} | changes
    return MixedCells(3, 1, **given)  # type: ignore[arg-type]


def one_each(supernet: MixedCells, chosen: dict[str, list[int]]) -> dict[str, Tensor]:
    eye = torch.eye(len(supernet.ops))
    return {kind: eye[chosen[kind]] for kind in supernet.edges}


def test_an_edge_is_the_sum_of_its_operations_by_weight() -> None:
    """A loop over one cell of one node that reads both inputs, which are the stem's twice."""
    supernet = mixed(cells=1, nodes=1, reduce_at=[]).eval()
    seen = supernet.stem(IMAGE)
    weights = supernet.alphas["normal"].softmax(1)
    total = torch.zeros_like(seen)
    for edge in range(2):
        for k, name in enumerate(OPS):
            if name != "none":
                total = total + weights[edge, k] * supernet.cells[0].mixed[edge][k](seen)
    torch.testing.assert_close(supernet(IMAGE), supernet.fc(total.mean((2, 3))))
    supernet.skip = 0.5
    logits = supernet.fc((total + 2 * 0.5 * seen).mean((2, 3)))
    torch.testing.assert_close(supernet(IMAGE), logits)


def test_one_operation_an_edge_is_the_network_of_that_design() -> None:
    """With the same weights; edges by node: those of node 0 read 0 and 1, those of node 1 0 to 2.

    One edge of node 1 gives nothing, so it has two operations, as designs have.
    """
    supernet, chosen = mixed(), {"normal": [3, 1, 0, 2, 4], "reduce": [4, 3, 1, 0, 3]}
    nodes = {
        kind: [
            [
                [source, OPS[k]]
                for (at, source), k in zip(supernet.edges[kind], ks, strict=True)
                if at == node and OPS[k] != "none"
            ]
            for node in range(2)
        ]
        for kind, ks in chosen.items()
    }
    skeleton = {"family": "cells", "width": 4, "cells": 3, "reduce_at": [1]}
    network = from_architecture(skeleton | nodes, 3, 1)
    assert isinstance(network, Cells)
    network.stem, network.fc = supernet.stem, supernet.fc
    for kind, cell, mix in zip(supernet.kinds, network.cells, supernet.cells, strict=True):
        cell.fits = mix.fits
        kept = [mix.mixed[e][k] for e, k in enumerate(chosen[kind]) if OPS[k] != "none"]
        first = len(nodes[kind][0])
        cell.nodes = nn.ModuleList([nn.ModuleList(kept[:first]), nn.ModuleList(kept[first:])])
    with supernet.mixed(one_each(supernet, chosen)):
        torch.testing.assert_close(supernet(IMAGE), network(IMAGE))


def test_costs_are_those_of_the_network_of_each_design() -> None:
    supernet = mixed()
    fixed, of_ops = supernet.costs((1, 7, 7))["flops"]
    weights, of_weights = supernet.costs((1, 7, 7))["parameters"]
    skeleton = {"family": "cells", "width": 4, "cells": 3, "reduce_at": [1]}
    for one, two in itertools.product((1, 2, 3, 4), repeat=2):
        nodes = [[[0, OPS[one]], [1, OPS[two]]], [[1, OPS[two]], [2, "sep3"]]]
        network = from_architecture({**skeleton, "normal": nodes, "reduce": nodes}, 3, 1)
        ks = [one, two, two, 3]
        wanted = sum(p.numel() for p in network.parameters())
        assert weights + sum(of_weights[kind][ks].sum() for kind in of_weights) == wanted
        space_flops = fixed + sum(of_ops[kind][ks].sum() for kind in of_ops)
        assert space_flops == _flops(network)


def test_costs_draw_nothing() -> None:
    supernet = mixed()
    before = torch.get_rng_state()
    supernet.costs((1, 7, 7))
    assert torch.equal(before, torch.get_rng_state())


def test_batch_norms_neither_scale_nor_shift() -> None:
    norms = [one for one in mixed().modules() if isinstance(one, nn.BatchNorm2d)]
    assert norms
    assert all(norm.weight is None and norm.bias is None for norm in norms)


def test_an_operation_without_weight_is_not_run() -> None:
    supernet = mixed(cells=1, nodes=1, reduce_at=[], ops=["skip", "conv3"])
    ran: list[int] = []
    for edge, ops in enumerate(supernet.cells[0].mixed):
        ops[1].register_forward_hook(lambda *_, edge=edge: ran.append(edge))
    with supernet.mixed(one_each(supernet, {"normal": [0, 1]})):
        supernet(IMAGE)
    assert ran == [1]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"nodes": 0}, "nodes must be an integer of at least 1, got 0"),
        ({"nodes": [[1], [3]]}, r"nodes.1 must read some of 0 to 2, got \[3\]"),
        ({"ops": ["skip", "con3"]}, "an operation is one of .*, got 'con3'"),
        ({"cells": 0}, "cells must be an integer of at least 1, got 0"),
    ],
)
def test_what_is_no_cell_is_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        mixed(**changes)


def test_edges_may_be_given() -> None:
    supernet = mixed(cells=1, nodes=[[1], [1, 2]], reduce_at=[])
    assert supernet.edges == {"normal": [(0, 1), (1, 1), (1, 2)]}
    assert supernet(IMAGE).shape == (4, 3)


def _flops(network: nn.Module) -> int:
    """Two per multiply-add of convolutions and the classifier, from hooks."""
    found: list[int] = []

    def count(module: nn.Module, given: tuple[Tensor], gave: Tensor) -> None:
        if isinstance(module, nn.Conv2d):
            found.append(2 * module.weight.numel() * gave[0, 0].numel())
        else:
            found.append(2 * module.weight.numel())

    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.register_forward_hook(count)
    network.eval()(IMAGE[:1])
    return sum(found)
