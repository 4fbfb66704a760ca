from pathlib import Path

import pytest
import torch

from distill.data.selection import Places, load_places, name, number, selected_samples

PLACES = Places(torch.tensor([-9, -1, 4, 2**62]), torch.tensor([7, 3, 5, 1]), "pool")


def write(folder: Path, *pixels: int) -> Path:
    PLACES.save(folder)
    rows = [f"a,0.5,{name(value)}" for value in pixels]
    (folder / "selected.csv").write_text("\n".join(["class,score,pixels", *rows]) + "\n")
    return folder


def test_selected_images_are_found_by_their_pixels(tmp_path: Path) -> None:
    assert selected_samples(write(tmp_path, 2**62, -9, 4), "pool").tolist() == [1, 5, 7]


def test_places_are_read_as_they_were_written(tmp_path: Path) -> None:
    PLACES.save(tmp_path)
    found = load_places(tmp_path, "pool")
    assert torch.equal(found.pixels, PLACES.pixels)
    assert torch.equal(found.sample, PLACES.sample)


@pytest.mark.parametrize("value", [0, 1, -1, 2**63 - 1, -(2**63)])
def test_a_name_is_16_digits_and_reads_back(value: int) -> None:
    assert len(name(value)) == 16
    assert number(name(value)) == value


def test_another_pool_a_foreign_image_and_damage_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"cannot read .*places.safetensors: make it with"):
        selected_samples(tmp_path, "pool")
    PLACES.save(tmp_path)
    with pytest.raises(ValueError, match=r"cannot read .*selected.csv: make it with"):
        selected_samples(tmp_path, "pool")
    with pytest.raises(ValueError, match=r"places.safetensors was made from other images"):
        selected_samples(write(tmp_path, -9), "other")
    with pytest.raises(ValueError, match=r"names images that are not in the pool"):
        selected_samples(write(tmp_path, -9, 8), "pool")
    (tmp_path / "selected.csv").write_text("class,score,pixels\na,0.5,zebra\n")
    with pytest.raises(ValueError, match=r"cannot read .*selected.csv"):
        selected_samples(tmp_path, "pool")
    (tmp_path / "places.safetensors").write_bytes(b"\x00" * 20)
    with pytest.raises(ValueError, match=r"cannot read .*places.safetensors"):
        selected_samples(tmp_path, "pool")
