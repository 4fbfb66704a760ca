"""experiments/gradient_cells: gradient searches of cells whose accuracies are all known."""

import csv
from pathlib import Path

import pytest
import torch
from torch import nn

from distill.modules.supernet import Supernet
from distill.search.spec import read_search
from experiments.digits_cells.cells import EDGES, OPS, EdgeNet
from experiments.gradient_cells.gradient import (
    CASES,
    CHOICES,
    COLUMNS,
    LIMITS,
    SEEDS,
    SPACE,
    TABLE,
    known_designs,
    ranks,
)
from experiments.gradient_cells.mixed_edges import KIND, MixedEdges

IMAGE = torch.randn(4, 1, 8, 8, generator=torch.Generator().manual_seed(0))
CELLS = Path(__file__).parents[1] / "experiments" / "digits_search" / "cells.yaml"


def rows() -> list[dict[str, str]]:
    with TABLE.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("design", [(3, 4, 2), (0, 1, 4), (4, 4, 4)])
def test_one_operation_an_edge_is_the_network_of_that_design(design: tuple[int, ...]) -> None:
    supernet = MixedEdges()
    assert isinstance(supernet, Supernet)
    network = EdgeNet(dict(zip(EDGES, (OPS[k] for k in design), strict=True)))
    for norm in network.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.affine = False
            norm.register_parameter("weight", None)
            norm.register_parameter("bias", None)
    body = supernet.body
    network.stem, network.fc = body.stem, body.fc
    for cell, mixed in ((network.first, body.first), (network.second, body.second)):
        for edge, k in zip(EDGES, design, strict=True):
            if edge in cell.edges:
                cell.edges[edge] = mixed.each[k].edges[edge]
    with supernet.mixed({KIND: torch.eye(len(OPS))[list(design)]}):
        torch.testing.assert_close(supernet(IMAGE), network(IMAGE))


@pytest.mark.parametrize("none", [True, False])
def test_costs_are_those_of_the_table(none: bool) -> None:
    supernet, known = MixedEdges(none=none), known_designs()
    fixed, of_ops = supernet.costs((1, 8, 8))["flops"]
    for design in ((1, 2, 3), (4, 3, 1), (4, 4, 4)):
        places = [supernet.ops.index(OPS[k]) for k in design]
        assert fixed + of_ops[KIND][places].sum() == known[SPACE.key(design)]["flops"]


def test_every_search_is_there_once_and_its_rank_is_that_of_the_table() -> None:
    found, known = rows(), known_designs()
    assert list(found[0]) == list(COLUMNS)
    told = [tuple(row[name] for name in COLUMNS[:5]) for row in found]
    ways = [(relaxation, by) for relaxation in CHOICES for by in CHOICES[relaxation]]
    wanted = {(*c, *way, str(seed)) for c in CASES for way in ways for seed in SEEDS}
    assert set(told) <= wanted
    assert len(set(told)) == len(told) >= 15
    largest = max(one["flops"] for one in known.values())
    for row in found:
        share = LIMITS[row["limit"]]
        limit = largest if share is None else share * largest
        fitting = [one["val_top1"] for one in known.values() if one["flops"] <= limit]
        own = known[SPACE.key([OPS.index(row[edge]) for edge in EDGES])]
        assert own["flops"] == int(row["flops"]) <= limit
        assert int(row["rank"]) == 1 + sum(value > own["val_top1"] for value in fitting)
        assert int(row["designs"]) == len(fitting)


def test_the_page_has_the_ranks_of_the_table() -> None:
    assert ranks(rows()) in (TABLE.parent / "README.md").read_text()


def test_the_search_of_cells_is_read() -> None:
    assert read_search(CELLS).sweep.trials == 4
