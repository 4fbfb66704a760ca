from pathlib import Path

import pytest
import torch

from distill.core.fingerprint import view_hash
from distill.data.datasets import InMemoryImages
from distill.data.selection import name
from distill.ssld.duplicates import (
    Pair,
    hash_images,
    near_duplicates,
    picture,
    read_dropped,
    write_pairs,
)
from distill.ssld.perceptual import perceptual_hash
from tests.fixtures.photographs import crops, jpeg

SIDE = 48
CROPS = crops(SIDE, 96)
CROPS = CROPS[perceptual_hash(CROPS).sum(1) >= 12]  # the sky is like any other sky
VAL, TEST, OWN = CROPS[:9], CROPS[9:15], CROPS[15:]


def table(*parts: torch.Tensor) -> InMemoryImages:
    images = torch.cat(parts)
    return InMemoryImages(
        images, torch.zeros(len(images), dtype=torch.int64), torch.arange(len(images))
    )


def planted() -> dict[str, torch.Tensor]:
    """One near duplicate of the first seven validation images each."""
    brighter = (VAL[2].int() + 15).clamp(0, 255).byte()
    dimmed = (VAL[3] * 0.9).round().byte()
    coarse = VAL[6].double().reshape(3, 24, 2, 24, 2).mean((2, 4)).round().byte()
    found = {
        "the image itself": VAL[0],
        "JPEG": jpeg(VAL[1], 75),
        "brighter": brighter,
        "dimmed": dimmed,
        "in a mirror": VAL[4].flip(-1),
        "in a mirror, as JPEG": jpeg(VAL[5].flip(-1), 75),
        "half the size and back": coarse.repeat_interleave(2, 1).repeat_interleave(2, 2),
    }
    return {what: image[None] for what, image in found.items()}


def found(pool: InMemoryImages, most: int = 6) -> list[Pair]:
    return near_duplicates(
        hash_images(pool), {"val": hash_images(table(VAL)), "test": hash_images(table(TEST))}, most
    )


@pytest.mark.parametrize("place", range(7))
def test_every_planted_near_duplicate_is_found_with_its_image(place: int) -> None:
    image = list(planted().values())[place]
    (pair,) = found(table(OWN, image))
    assert pair.unlabelled == int(view_hash(image))
    assert (pair.near, pair.split) == (int(view_hash(VAL[place : place + 1])), "val")
    assert pair.flipped == (place in (4, 5))
    assert pair.differ <= 6


def test_images_of_the_test_set_are_found_too() -> None:
    (pair,) = found(table(OWN, TEST[2:3]))
    assert (pair.differ, pair.split) == (0, "test")


def test_other_images_are_left_alone() -> None:
    assert len(OWN) > 10
    assert found(table(OWN)) == []


def test_the_order_of_the_pool_does_not_matter() -> None:
    images = torch.cat([OWN, *planted().values()])
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
    assert found(table(images)) == found(table(images[order]))
    assert len(found(table(images))) == 7


def test_of_equal_images_one_is_kept() -> None:
    images = torch.cat([OWN[:4], OWN[1:3], OWN[1:2]])
    hashed = hash_images(table(images))
    assert hashed.repeated == 3
    assert hashed.pixels.tolist() == sorted(view_hash(OWN[:4]).tolist())
    for pixels, sample in zip(hashed.pixels, hashed.sample, strict=True):
        assert int(view_hash(images[sample][None])) == int(pixels)


def test_the_table_names_what_is_dropped(tmp_path: Path) -> None:
    pairs = found(table(OWN, *planted().values()))
    write_pairs(tmp_path / "x.csv", pairs)
    assert read_dropped(tmp_path / "x.csv").tolist() == [pair.unlabelled for pair in pairs]
    first = pairs[0]
    row = f"{name(first.unlabelled)},{first.differ},{name(first.near)},val,{int(first.flipped)}"
    assert (tmp_path / "x.csv").read_text().splitlines()[1] == row
    write_pairs(tmp_path / "x.csv", [])
    assert read_dropped(tmp_path / "x.csv").tolist() == []


def test_the_picture_shows_pairs_chosen_by_key() -> None:
    val, test = table(VAL), table(TEST)
    sets = {"val": (hash_images(val), val), "test": (hash_images(test), test)}
    many = torch.cat([(OWN[:4] + shade).byte() for shade in range(8)])
    pool = table(*planted().values(), many, TEST)
    pairs = found(pool)
    assert len(pairs) == 13
    sheet = picture(pairs, hash_images(pool), pool, sets)
    assert sheet.height > 13 * 128
    assert sheet.width > 2 * 128
    twenty = [
        Pair(int(p), 1, int(hash_images(val).pixels[0]), "val", False)
        for p in hash_images(pool).pixels
    ]
    assert len(twenty) > 16
    lines = picture(twenty, hash_images(pool), pool, sets).height / (128 + 14)
    assert 16 < lines < 17
    again = picture(pairs[::-1], hash_images(pool), pool, sets)
    assert again.tobytes() == sheet.tobytes()
