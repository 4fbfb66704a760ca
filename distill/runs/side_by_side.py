"""What labels, teacher and student say of the same images, drawn side by side."""

from collections.abc import Mapping, Sequence

from PIL import Image, ImageDraw

from distill.augment.pixels import as_float
from distill.core.batch import Batch
from distill.core.outputs import Outputs
from distill.tasks import Task
from distill.tasks.tells import Tells, drawn

_MOST, _GAP, _LINE = 6, 6, 16


def side_by_side(
    task: Task, batch: Batch, said: Mapping[str, Outputs], classes: Sequence[str]
) -> Image.Image | None:
    """Draw the first images of a batch, a column for the labels and one for each network.

    Args:
        task: Draws what networks say.
        batch: The images, with masks or boxes.
        said: What networks give for them, by the titles of their columns.
        classes: Names of the classes.

    Returns:
        None for images whose labels are not drawn in them.
    """
    if (batch.mask is None and batch.boxes is None) or not isinstance(task, Tells):
        return None
    images = (as_float(batch.image) * 255).round().byte().cpu()
    columns = {"label": drawn(images, batch.mask, batch.boxes)}
    columns |= {name: task.pictures(images, outputs, classes) for name, outputs in said.items()}
    width, height = columns["label"][0].size
    rows = min(_MOST, len(images))
    size = (len(columns) * (width + _GAP), _LINE + rows * (height + _GAP))
    sheet = Image.new("RGB", size, "white")
    for place, (name, pictures) in enumerate(columns.items()):
        title = (place * (width + _GAP), 0)
        ImageDraw.Draw(sheet).text(title, name, fill="black", font_size=_LINE - 2)
        for row, picture in enumerate(pictures[:rows]):
            sheet.paste(picture, (place * (width + _GAP), _LINE + row * (height + _GAP)))
    return sheet
