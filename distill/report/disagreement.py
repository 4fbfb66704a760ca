"""The images on which a student and its teacher, or the labels, disagree."""

import io
from collections import Counter
from collections.abc import Sequence

from PIL import Image
from torch import Tensor

from distill.report.blocks import Block, Chart, Gallery, Picture, Section, Table
from distill.report.style import INK, axes
from distill.results.predictions import Predictions

_MOST_CLASSES, _MOST_PAIRS, _MOST_PICTURES = 20, 8, 16
Pairs = Counter[tuple[int, int]]


def disagreement_section(
    predictions: Sequence[Predictions], classes: Sequence[str], method: str
) -> Section | None:
    """Show the classes that are confused, and images of them.

    Args:
        predictions: Of the method's runs, one per seed, all with or all without a teacher.
        classes: Names of the classes.
        method: Name of the method.

    Returns:
        None if no predictions were kept.
    """
    if not predictions:
        return None
    other = "label" if predictions[0].teacher is None else "teacher"
    pairs = Counter(pair for one in predictions for pair in _differing(one))
    images, runs = len(predictions[0].target), len(predictions)
    rate = 100 * sum(pairs.values()) / (images * runs)
    seeds = f", mean of {runs} seeds" if runs > 1 else ""
    text = (
        f"The student of {method} differs from the {other} on {rate:.2f} % of the {images:,}"
        f" validation images (last epoch{seeds})."
    )
    blocks: list[Block] = []
    if pairs:
        text += _who_is_right(predictions) if other == "teacher" else ""
        blocks.append(_pairs_table(pairs, classes, other, runs))
        if len(classes) <= _MOST_CLASSES:
            blocks.append(_matrix(pairs, classes, other))
    if len(predictions[0].shown):
        blocks.append(_gallery(predictions[0], classes))
    return Section(f"Where student and {other} differ", text, blocks)


def _differing(one: Predictions) -> list[tuple[int, int]]:
    differs = one.student != one.reference
    return list(zip(one.reference[differs].tolist(), one.student[differs].tolist(), strict=True))


def _who_is_right(predictions: Sequence[Predictions]) -> str:
    teacher = student = total = 0
    for one in predictions:
        differs = one.student != one.reference
        total += int(differs.sum())
        teacher += int((one.reference[differs] == one.target[differs]).sum())
        student += int((one.student[differs] == one.target[differs]).sum())
    shares = [f"{100 * n / total:.0f} %" for n in (teacher, student, total - teacher - student)]
    right = f"the teacher is right on {shares[0]}, the student on {shares[1]}"
    return f" Of those images {right}, neither on {shares[2]}."


def _pairs_table(pairs: Pairs, classes: Sequence[str], other: str, runs: int) -> Table:
    together = f", over {runs} seeds together" if runs > 1 else ""
    rows = [
        (f"{classes[reference]} → {classes[student]}", str(count))
        for (reference, student), count in pairs.most_common(_MOST_PAIRS)
    ]
    header = (f"{other} → student", "images")
    return Table(f"The most frequent differences{together}.", header, rows)


def _matrix(pairs: Pairs, classes: Sequence[str], other: str) -> Chart:
    figure, plot = axes(4.6)
    most = max(pairs.values())
    for (reference, student), count in pairs.items():
        square = (student - 0.5, reference - 0.5)
        plot.add_patch(_square(square, alpha=0.1 + 0.6 * count / most))
        plot.text(student, reference, str(count), ha="center", va="center", color=INK, fontsize=9.5)
    long = max(len(name) for name in classes) > 3
    plot.set_xticks(range(len(classes)), classes, rotation=90 if long else 0)
    plot.set_yticks(range(len(classes)), classes)
    plot.set_xlim(-0.5, len(classes) - 0.5)
    plot.set_ylim(len(classes) - 0.5, -0.5)
    plot.set_aspect("equal")
    plot.tick_params(length=0)
    plot.set_xlabel("student's class")
    plot.set_ylabel("label" if other == "label" else "teacher's class")
    largest = ", ".join(f"{classes[a]} as {classes[b]} {n}" for (a, b), n in pairs.most_common(5))
    caption = f"Images on which they differ, by what {other} and student say."
    return Chart("confusion", caption, f"Matrix of counts; the largest: {largest}.", figure)


def _square(corner: tuple[float, float], alpha: float) -> object:
    from matplotlib.patches import Rectangle

    return Rectangle(corner, 1, 1, facecolor="#0067a8", alpha=alpha, linewidth=0)


def _gallery(one: Predictions, classes: Sequence[str]) -> Gallery:
    rows = one.shown[:_MOST_PICTURES].tolist()
    images = [_image(pixels) for pixels in one.images[:_MOST_PICTURES]]
    pictures = [
        Picture(_png(image), *_describe(one, row, classes))
        for row, image in zip(rows, images, strict=True)
    ]
    caption = (
        "The images on which they differ and the student is most confident"
        " (first seed; the student's probability in brackets)."
    )
    return Gallery(caption, pictures, _sheet(images, pictures, caption))


def _describe(one: Predictions, row: int, classes: Sequence[str]) -> tuple[list[str], str]:
    said = {"label": classes[int(one.target[row])]}
    if one.teacher is not None:
        said["teacher"] = classes[int(one.teacher[row])]
    said["student"] = f"{classes[int(one.student[row])]} ({100 * one.confidence[row]:.0f} %)"
    lines = [f"{who} {what}" for who, what in said.items()]
    return lines, f"Validation image {int(one.index[row])}: {', '.join(lines)}"


def _image(pixels: Tensor) -> Image.Image:
    levels = pixels.expand(3, -1, -1) if len(pixels) == 1 else pixels[:3]
    return Image.fromarray(levels.permute(1, 2, 0).contiguous().numpy())


def _png(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def _sheet(images: Sequence[Image.Image], pictures: Sequence[Picture], caption: str) -> Chart:
    columns = 4
    rows = -(-len(images) // columns)
    figure, plots = axes(1.75 * rows, rows, columns)
    for place, plot in enumerate(plots.flat):
        plot.set_axis_off()
        if place < len(images):
            plot.imshow(images[place], interpolation="nearest")
            plot.set_title("\n".join(pictures[place].lines), fontsize=7.5)
    return Chart("disagreements", caption, "; ".join(p.alt for p in pictures), figure)
