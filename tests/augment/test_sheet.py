from dataclasses import replace

import numpy as np
import torch
from PIL import Image, ImageDraw

from distill.augment.sheet import _shortened, contact_sheet
from tests.augment.scenes import noise, rectangles

PLAIN = 6 + 14  # what is above the first row


def tile(sheet, row: int, column: int, side: int) -> np.ndarray:
    top, left = PLAIN + row * (side + 20), 6 + column * (side + 6)
    return np.asarray(sheet)[top : top + side, left : left + side]


def test_samples_go_down_and_views_across() -> None:
    batch = noise(3, height=8, width=8)
    darker = replace(batch, image=batch.image // 2)
    sheet = contact_sheet({"original": batch, "darker": darker}, side=16)
    assert sheet.size == (6 + 2 * 22, 6 + 14 + 3 * 36)
    for column, view in enumerate((batch, darker)):
        for row in range(3):
            pixels = view.image[row].permute(1, 2, 0).numpy()
            assert np.array_equal(tile(sheet, row, column, 16), pixels.repeat(2, 0).repeat(2, 1))


def test_grey_and_floating_point_images_are_drawn() -> None:
    batch = noise(1, channels=1, height=8, width=8, dtype=torch.float32)
    levels = (batch.image[0, 0].double() * 255).round().numpy()
    drawn = tile(contact_sheet({"one": batch}, side=8), 0, 0, 8)
    for channel in range(3):
        assert np.array_equal(drawn[..., channel], levels)


def test_masks_tint_their_pixels_and_unknown_ones_are_grey() -> None:
    batch = replace(rectangles(1), boxes=None)
    batch.mask[:, :3] = 255
    drawn = tile(contact_sheet({"one": batch}, side=48), 0, 0, 48)
    image, mask = batch.image[0].permute(1, 2, 0).numpy(), batch.mask[0].numpy()
    assert np.array_equal(drawn[mask == 0], image[mask == 0])
    assert (drawn[:3] == 128).all()
    colours = [np.unique(drawn[mask == label], axis=0) for label in (1, 2)]
    assert len(colours[0]) == len(colours[1]) == 1
    assert not np.array_equal(colours[0][0], image[mask == 1][0])


def test_boxes_are_outlined() -> None:
    batch = replace(rectangles(2), mask=None)
    drawn = tile(contact_sheet({"one": batch}, side=96), 1, 0, 96)
    changed = drawn != batch.image[1].permute(1, 2, 0).numpy().repeat(2, 0).repeat(2, 1)
    expected = np.zeros((96, 96), dtype=bool)
    for box, row in zip(batch.boxes.xyxy, batch.boxes.image, strict=True):
        if row == 1:
            left, top, right, bottom = (int(2 * edge) for edge in box)
            outline = np.ones((bottom - top, right - left), dtype=bool)
            outline[1:-1, 1:-1] = False
            expected[top:bottom, left:right] |= outline
    assert np.array_equal(changed.any(2), expected)


def test_images_of_another_shape_keep_theirs() -> None:
    batch = noise(1, height=4, width=8)
    drawn = tile(contact_sheet({"one": batch}, side=16), 0, 0, 16)
    assert np.array_equal(
        drawn[:8], batch.image[0].permute(1, 2, 0).numpy().repeat(2, 0).repeat(2, 1)
    )


def test_a_caption_is_written_under_each_sample() -> None:
    batch, asked = noise(2, height=8, width=8), []

    def caption(target: torch.Tensor) -> str:
        asked.append(int(target))
        return "cat" if target else ""

    shown = replace(batch, target=torch.tensor([0, 1]))
    sheet = np.asarray(contact_sheet({"one": shown}, caption, side=96))
    assert asked == [0, 1]
    assert (sheet[PLAIN + 96 : PLAIN + 110] == 255).all()
    second = PLAIN + 96 + 20 + 96
    assert not (sheet[second : second + 14] == 255).all()


def test_a_long_caption_is_cut() -> None:
    draw = ImageDraw.Draw(Image.new("RGB", (8, 8)))
    short = _shortened("a fairly long name (0.55) + another (0.45)", 128, draw)
    assert short.startswith("a fairly long")
    assert short.endswith("...")
    assert 100 < draw.textlength(short) <= 128
    assert _shortened("no label", 8, draw) == ""
