import itertools

import numpy as np
import pytest

from distill.search.strategies.derived import Derived, Nodes, derive

OPS = ["none", "skip", "sep3", "conv3"]
EDGES = {kind: [(0, 0), (0, 1), (1, 0), (1, 1), (1, 2)] for kind in ("normal", "reduce")}


def by_loop(strengths: dict[str, np.ndarray], prices: dict[str, list[float]], most: float) -> Nodes:
    """DARTS's rule edge by edge; then the strongest of all operations within the limit."""
    kept = []
    for kind, edges in EDGES.items():
        for node in (0, 1):
            own = [edge for edge, (at, _) in enumerate(edges) if at == node]
            while len(own) > 2:
                own.remove(min(own, key=lambda edge: strengths[kind][edge, 1:].max()))
            kept += [(kind, edge) for edge in own]
    best, chosen = -np.inf, ()
    for ks in itertools.product((1, 2, 3), repeat=len(kept)):
        pairs = list(zip(kept, ks, strict=True))
        if sum(prices[kind][k] for (kind, _), k in pairs) <= most:
            total = sum(strengths[kind][edge, k] for (kind, edge), k in pairs)
            best, chosen = max((best, chosen), (total, ks))
    cells: Nodes = {kind: [[], []] for kind in EDGES}
    for (kind, edge), k in zip(kept, chosen, strict=True):
        node, source = EDGES[kind][edge]
        cells[kind][node].append((source, OPS[k]))
    return cells


@pytest.mark.parametrize("most", [4.0, 9.0, np.inf])
def test_cells_are_those_of_a_loop(most: float) -> None:
    prices = {"normal": [0.0, 0.0, 1.0, 4.0], "reduce": [0.0, 0.0, 0.5, 3.0]}
    rng = np.random.default_rng(int(min(most, 10)))
    strengths = {kind: rng.normal(size=(5, 4)) for kind in EDGES}
    strengths["normal"][2, 0] = 9  # none is strongest, and no choice
    costs = [(2.0, prices, 2.0 + most)]
    given = {kind: each.tolist() for kind, each in strengths.items()}
    assert derive(given, EDGES, OPS, costs) == by_loop(strengths, prices, most)


def test_two_limits_hold_at_once_and_none_is_told() -> None:
    edges = {"normal": [(0, 0), (0, 1)]}
    strengths = {"normal": [[0.0, 1.0, 2.0, 3.0]] * 2}
    first, second = {"normal": [0, 0, 1, 9]}, {"normal": [0, 5, 1, 0]}
    cells = derive(strengths, edges, OPS, [(0, first, 9), (0, second, 3)])
    assert cells == {"normal": [[(0, "sep3"), (1, "sep3")]]}
    assert derive(strengths, edges, OPS, [(4, first, 3)]) is None


def test_edges_that_are_given_are_kept() -> None:
    edges = {"normal": [(0, 1), (1, 1), (1, 2)]}
    strengths = {"normal": [[0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0], [0.0, 0.0, 0.0, 1.0]]}
    wanted = {"normal": [[(1, "skip")], [(1, "sep3"), (2, "conv3")]]}
    assert derive(strengths, edges, OPS) == wanted


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"by": "size"}, "^by must be magnitude or perturbation, got 'size'$"),
        ({"images": 0}, "^images must be at least 1, got 0$"),
    ],
)
def test_what_is_unknown_is_refused(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Derived(**arguments)  # type: ignore[arg-type]
