"""experiments/trees: photographs cut into tiles, trees with them."""

from pathlib import Path

import pytest
from PIL import Image

from distill.data.formats import coco
from distill.data.formats.items import Box, Item
from experiments.trees.tiles import Tile, tiles, write


@pytest.fixture
def photograph(tmp_path: Path) -> Item:
    """21 x 10 pixels: a tree in each tile of 10, and one with 3 of 4 columns in the first."""
    path = tmp_path / "photograph.png"
    Image.new("RGB", (21, 10)).save(path)
    boxes = ((1, 2, 4, 6), (12, 0, 15, 3), (7, 5, 11, 8))
    return Item(path, (21, 10), tuple(Box(edges, 0) for edges in boxes))


def test_a_tree_of_which_less_than_half_is_in_a_tile_is_marked(photograph: Item) -> None:
    assert list(tiles(photograph, 10)) == [
        Tile(0, 0, [((1, 2, 3, 4), False), ((7, 5, 3, 3), False)]),
        Tile(0, 1, [((2, 0, 3, 3), False), ((0, 5, 1, 3), True)]),
    ]


def test_what_is_written_is_read_as_coco(photograph: Item, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    write(tmp_path, "test", photograph, list(tiles(photograph, 10)), 10)
    found = coco.read(tmp_path / "test.json")
    assert found.classes == ("tree",)
    assert [item.size for item in found.items] == [(10, 10), (10, 10)]
    assert [box.xyxy for box in found.items[0].boxes] == [(1, 2, 4, 6), (7, 5, 10, 8)]
    assert [box.ignored for box in found.items[1].boxes] == [False, True]
