import torch

from students import MixedCells, from_architecture
from students.spaces import Cells

OPS = ["none", "skip", "pool3", "sep3", "sep5", "dil3"]
SPACE = Cells(cells=3, width=4, nodes=2, reduce_at=[1], ops=OPS)
IMAGE = torch.randn(2, 1, 7, 7, generator=torch.Generator().manual_seed(0))


def design_of(space: Cells, **values: object) -> tuple[int, ...]:
    """By name with ``_`` for dots; the first value of all others."""
    named = {name.replace("_", "."): value for name, value in values.items()}
    assert named.keys() <= space.decisions.keys()
    return tuple(
        all_.index(named[name]) if name in named else 0 for name, all_ in space.decisions.items()
    )


def test_designs_of_all_operations_build_and_run_on_odd_sizes() -> None:
    sizes = [len(values) for values in SPACE.decisions.values()]
    designs = [tuple((3 * n + 5 * at) % size for at, size in enumerate(sizes)) for n in range(24)]
    for design in designs:
        network = from_architecture(SPACE.architecture(design), 3, 1).eval()
        assert network(IMAGE).shape == (2, 3)
    used = {
        op for design in designs for node in SPACE.architecture(design)["normal"] for _, op in node
    }
    assert used == set(OPS) - {"none"}


def test_the_order_of_a_nodes_two_does_not_matter() -> None:
    one = design_of(
        SPACE, normal_0_input0=0, normal_0_op0="skip", normal_0_input1=1, normal_0_op1="sep3"
    )
    two = design_of(
        SPACE, normal_0_input0=1, normal_0_op0="sep3", normal_0_input1=0, normal_0_op1="skip"
    )
    assert SPACE.key(one) == SPACE.key(two)
    outputs = []
    for design in (one, two):
        torch.manual_seed(0)
        network = from_architecture(SPACE.architecture(design), 3, 1).eval()
        outputs.append(network(IMAGE))
    assert torch.equal(*outputs)


def test_what_reads_a_node_without_operations_is_dropped() -> None:
    design = design_of(SPACE, normal_1_input0=2, normal_1_op0="sep3", normal_1_op1="skip")
    assert SPACE.architecture(design)["normal"] == [[], [[0, "skip"]]]


def test_a_cell_that_the_skeleton_lacks_is_no_decision() -> None:
    for reduce_at, kind in (([], "normal"), ([0, 1], "reduce")):
        space = Cells(cells=2, width=4, nodes=1, reduce_at=reduce_at, ops=OPS)
        assert {name.split(".")[0] for name in space.decisions} == {kind}


def test_costs_are_those_of_the_cells() -> None:
    """Node 0 of each cell is a separable 3x3 of the last output, node 1 empty; widths 4, then 8."""
    space = Cells(cells=2, width=4, nodes=2, reduce_at=[1], ops=OPS)
    chosen = {
        f"{kind}_0_{name}": value
        for kind in ("normal", "reduce")
        for name, value in (("input0", 1), ("op0", "sep3"))
    }
    costs = space.costs(design_of(space, **chosen), 3, (1, 7, 7))
    sep4, sep8 = 4 * 9 + 4 * 4, 8 * 9 + 8 * 8
    # The second cell projects the stem's 4 channels and the first cell's 8 = 2 nodes of 4; the
    # latter agree with its width and go as they are.
    parameters = (4 * 9 + 8) + (sep4 + 8) + (4 * 8 + 16) + (sep8 + 16) + (16 * 3 + 3)
    flops = 2 * (4 * 9 * 49 + sep4 * 49 + 4 * 8 * 16 + sep8 * 16 + 16 * 3)
    assert costs == {"parameters": parameters, "flops": flops}


def test_a_design_is_that_of_its_cells() -> None:
    nodes = [[(0, "skip"), (1, "sep3")], [(1, "dil3"), (2, "pool3")]]
    design = SPACE.design({"normal": nodes, "reduce": nodes})
    wanted = [[list(pair) for pair in node] for node in nodes]
    assert SPACE.architecture(design)["normal"] == wanted == SPACE.architecture(design)["reduce"]


def test_the_supernet_has_an_edge_from_each_state_to_each_later_node() -> None:
    spec = SPACE.supernet()
    assert spec["class_path"] == "students.MixedCells"
    supernet = MixedCells(3, 1, **spec["init_args"])
    wanted = [(0, 0), (0, 1), (1, 0), (1, 1), (1, 2)]
    assert supernet.edges == {"normal": wanted, "reduce": wanted}
    assert (list(supernet.ops), supernet(IMAGE).shape) == (OPS, (2, 3))
