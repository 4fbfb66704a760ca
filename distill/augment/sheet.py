"""A contact sheet: samples down, their augmented views across, with masks and boxes drawn in."""

from collections.abc import Callable, Mapping

import torch
from PIL import Image, ImageDraw
from torch import Tensor

from distill.augment.pixels import as_float
from distill.core.batch import IGNORED, Batch

_GAP, _LINE = 6, 14
_COLORS = torch.tensor(
    [[230, 25, 75], [60, 180, 75], [0, 130, 200], [245, 130, 48], [145, 30, 180], [70, 240, 240]]
)
_UNKNOWN = torch.tensor([128, 128, 128])


def contact_sheet(
    columns: Mapping[str, Batch], caption: Callable[[Tensor], str] = str, side: int = 128
) -> Image.Image:
    """Draw several views of the same samples in one picture.

    Args:
        columns: The views by their titles, with one row per sample each.
        caption: Makes the text under a sample from its target.
        side: Length in pixels that the longer side of every image is drawn at.
    """
    rows = max(len(batch.image) for batch in columns.values())
    step = side + _GAP
    size = (_GAP + len(columns) * step, _GAP + _LINE + rows * (step + _LINE))
    sheet = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(sheet)
    for column, (title, batch) in enumerate(columns.items()):
        left = _GAP + column * step
        draw.text((left, _GAP // 2), title, fill="black")
        for row in range(len(batch.image)):
            top = _GAP + _LINE + row * (step + _LINE)
            sheet.paste(tile(batch, row, side), (left, top))
            text = _shortened(caption(batch.target[row]), side, draw)
            draw.text((left, top + side), text, fill="black")
    return sheet


def tile(batch: Batch, row: int, side: int) -> Image.Image:
    """Draw a sample with its mask and boxes, its longer side at so many pixels."""
    levels = (as_float(batch.image[row]) * 255).round().cpu()
    levels = levels.expand(3, -1, -1) if len(levels) == 1 else levels[:3]
    if batch.mask is not None:
        levels = _tinted(levels, batch.mask[row].cpu().long())
    height, width = levels.shape[1:]
    scale = side / max(height, width)
    tile = Image.fromarray(levels.byte().permute(1, 2, 0).contiguous().numpy())
    tile = tile.resize(
        (max(1, round(width * scale)), max(1, round(height * scale))), Image.Resampling.NEAREST
    )
    if batch.boxes is not None:
        draw = ImageDraw.Draw(tile)
        own = batch.boxes.where(batch.boxes.image == row)
        for box, label in zip((own.xyxy * scale).tolist(), own.label.tolist(), strict=True):
            color = tuple(_COLORS[label % len(_COLORS)].tolist())
            left, top, right, bottom = box
            corners = (left, top, max(left, right - 1), max(top, bottom - 1))
            draw.rectangle(corners, outline=color, width=max(1, side // 96))
    return tile


def _tinted(levels: Tensor, mask: Tensor) -> Tensor:
    """Tint levels (3, h, w) by the colors of their classes; class 0 stays, gray is unknown."""
    colors = _COLORS[(mask - 1) % len(_COLORS)].permute(2, 0, 1)
    tinted = torch.where(mask > 0, (levels + colors) / 2, levels)
    return torch.where(mask == IGNORED, _UNKNOWN[:, None, None], tinted)


def _shortened(text: str, width: int, draw: ImageDraw.ImageDraw) -> str:
    """Cut a text to a width in pixels."""
    while draw.textlength(text) > width:
        text = f"{text[:-4]}..." if len(text) > 4 else ""
    return text
