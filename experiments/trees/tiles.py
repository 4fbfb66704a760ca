"""Tiles of aerial photographs with the trees in them, from the files of a package.

pip download deepforest --no-deps --dest WHEELS
python experiments/trees/tiles.py WHEELS/deepforest-2.1.0-py3-none-any.whl data/trees

The wheel of ``deepforest`` (MIT) brings photographs with boxes of trees in VOC's format. Each is
cut into squares, and ``train.json``, ``val.json`` and ``test.json`` (COCO) are written beside
``images``: the upper rows of one site train, its lower rows validate, another site tests. A tree of
which less than half is in a tile is marked as a crowd there: it does not count. What is left over
at the right and at the bottom, less than a tile, is not used.
"""

import json
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image

from distill.data.formats import voc
from distill.data.formats.items import Item

SIDE = 192
SITE, OTHER = "2019_YELL_2_528000_4978000_image_crop2", "2019_YELL_2_541000_4977000_image_crop"
PHOTOGRAPHS = (SITE, OTHER, "OSBS_029", "SOAP_061")
ROWS = 9  # of the first site's 12, for training


class Tile(NamedTuple):
    """A square of a photograph: its row and column, and its trees, by left, top, width, height."""

    row: int
    column: int
    trees: list[tuple[tuple[float, float, float, float], bool]]


def extract(wheel: Path, folder: Path) -> dict[str, Item]:
    """Take the photographs and their annotations out of the wheel, and read them, by name."""
    places = {"Annotations": "xml", "images": "png"}
    with zipfile.ZipFile(wheel) as files:
        for place, end in places.items():
            (folder / place).mkdir(parents=True, exist_ok=True)
            for name in PHOTOGRAPHS:
                content = files.read(f"deepforest/data/{name}.{end}")
                (folder / place / f"{name}.{end}").write_bytes(content)
    return {item.path.stem: item for item in voc.read(folder).items}


def tiles(item: Item, side: int) -> Iterator[Tile]:
    """Every whole tile of a photograph, row by row."""
    with Image.open(item.path) as photograph:
        width, height = photograph.size
    for row in range(height // side):
        for column in range(width // side):
            trees = []
            for box in item.boxes:
                left, top, right, bottom = box.xyxy
                x, y = max(left - column * side, 0), max(top - row * side, 0)
                w = min(right - column * side, side) - x
                h = min(bottom - row * side, side) - y
                if w > 0 and h > 0:
                    whole = (right - left) * (bottom - top)
                    trees.append(((x, y, w, h), w * h < whole / 2))
            yield Tile(row, column, trees)


def write(out: Path, name: str, item: Item, cut: list[Tile], side: int) -> None:
    """Write the images of tiles, and a COCO file of them."""
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    with Image.open(item.path) as photograph:
        whole = photograph.convert("RGB")
    for number, tile in enumerate(cut, 1):
        file = f"{name}_{tile.row}_{tile.column}.png"
        left, top = tile.column * side, tile.row * side
        whole.crop((left, top, left + side, top + side)).save(out / "images" / file)
        images.append({"id": number, "file_name": file, "width": side, "height": side})
        for box, partly in tile.trees:
            entry = {"id": len(annotations) + 1, "image_id": number, "category_id": 1, "bbox": box}
            annotations.append(entry | {"area": box[2] * box[3], "iscrowd": int(partly)})
    categories = [{"id": 1, "name": "tree"}]
    content = {"images": images, "categories": categories, "annotations": annotations}
    (out / f"{name}.json").write_text(json.dumps(content))


def main(wheel: Path, out: Path) -> None:
    """Write the tiles, and say how many trees there are."""
    found = extract(wheel, out / "photographs")
    for name in PHOTOGRAPHS:
        print(f"{name}: {len(found[name].boxes)} boxes")
    (out / "images").mkdir(exist_ok=True)
    here = list(tiles(found[SITE], SIDE))
    parts = {
        "train": (found[SITE], [tile for tile in here if tile.row < ROWS]),
        "val": (found[SITE], [tile for tile in here if tile.row >= ROWS]),
        "test": (found[OTHER], list(tiles(found[OTHER], SIDE))),
    }
    for name, (item, cut) in parts.items():
        write(out, name, item, cut, SIDE)
        trees = [partly for tile in cut for _, partly in tile.trees]
        print(f"{name}: {len(cut)} tiles, {len(trees) - sum(trees)} trees, {sum(trees)} cut off")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
