import torch

from students import from_architecture
from students.branches import Branches as Network
from students.spaces import Branches

SPACE = Branches(
    layers=3,
    width=[4, 6],
    ops=["conv3", "pool3"],
    inputs=2,
    merge=["add", "concat"],
    halve_at=[1],
    stem=4,
)
DESIGNS = list(SPACE.designs())
IMAGE = torch.randn(2, 1, 7, 7, generator=torch.Generator().manual_seed(0))


def test_every_architecture_builds_and_runs_on_odd_sizes() -> None:
    keys = {SPACE.key(design): design for design in DESIGNS[::37]}
    assert len(keys) > 60
    for design in keys.values():
        network = from_architecture(SPACE.architecture(design), 3, 1).eval()
        assert network(IMAGE).shape == (2, 3)


def test_a_dropped_layer_has_no_effect() -> None:
    """The last layer reads the stem alone: with the same weights all outputs are the same bits."""
    chosen = {"layers.2.input0": 0, "layers.2.input1": None}
    indices = dict.fromkeys(SPACE.decisions, 0)
    indices |= {name: SPACE.decisions[name].index(value) for name, value in chosen.items()}
    short = SPACE.architecture(tuple(indices.values()))
    assert short["layers"] == [{"op": "conv3", "width": 4, "inputs": [0], "halvings": 1}]
    unread = {"op": "conv3", "width": 6, "inputs": [0], "halvings": 0}
    long = short | {"layers": [unread, *short["layers"]]}
    first, second = from_architecture(short, 3, 1).eval(), Network(long, 3, 1).eval()
    weights = {
        name.replace("layers.0.", "layers.1."): value for name, value in first.state_dict().items()
    }
    missing, unexpected = second.load_state_dict(weights, strict=False)
    assert all(name.startswith("layers.0.") for name in missing)
    assert not unexpected
    assert torch.equal(first(IMAGE), second(IMAGE))
    for design in DESIGNS[:: len(DESIGNS) // 40]:
        again = tuple(
            index if name.startswith("layers.2") else 0
            for name, index in zip(SPACE.decisions, design, strict=True)
        )
        reads = {one for layer in SPACE.architecture(again)["layers"] for one in layer["inputs"]}
        assert set(range(len(SPACE.architecture(again)["layers"]))) == reads | {0}


def test_an_input_chosen_twice_is_one_and_needs_no_merge() -> None:
    values = {"layers.2.input0": 2, "layers.2.input1": 2, "layers.2.merge": "concat"}
    indices = dict.fromkeys(SPACE.decisions, 0)
    indices |= {name: SPACE.decisions[name].index(value) for name, value in values.items()}
    (*_, last) = SPACE.architecture(tuple(indices.values()))["layers"]
    assert last == {"op": "conv3", "width": 4, "inputs": [1], "halvings": 1}


def test_costs_are_those_of_the_layers() -> None:
    """A stem of 4 and a 3x3 of 6 at 7x7; a concatenation of both through 3x3 to 6 at 4x4."""
    space = Branches(
        layers=2, width=6, ops=["conv3"], inputs=2, merge="concat", halve_at=[1], stem=4
    )
    values = {"layers.1.input0": 0, "layers.1.input1": 1}
    design = tuple(space.decisions[name].index(value) for name, value in values.items())
    parameters = (4 * 9 + 8) + (4 * 6 * 9 + 12) + (10 * 6 * 9 + 12) + (6 * 3 + 3)
    flops = 2 * (4 * 9 * 49 + 4 * 6 * 9 * 49 + 10 * 6 * 9 * 16 + 6 * 3)
    assert space.costs(design, 3, (1, 7, 7)) == {"parameters": parameters, "flops": flops}


def test_an_added_input_of_another_width_is_projected() -> None:
    space = Branches(layers=2, width=6, ops=["pool3"], inputs=2, merge="add", stem=4)
    values = {"layers.1.input0": 0, "layers.1.input1": 1}
    design = tuple(space.decisions[name].index(value) for name, value in values.items())
    # Twice 4 to 6 channels: in the first layer's pooling and for the stem that is added.
    parameters = (4 * 9 + 8) + 2 * (4 * 6 + 12) + (6 * 3 + 3)
    assert space.costs(design, 3, (1, 7, 7))["parameters"] == parameters
