"""The text of a first recipe: knowledge distillation with cross-entropy, on images of one's own."""

import json
import re
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Images:
    """What a recipe has to know of somebody's images.

    Attributes:
        train: The source, as a recipe names it.
        val: Another source, or the share of ``train`` to split off.
        test: Another source; empty for none.
        classes: Their names.
        samples: Training images.
        channels: 1 for greyscale, 3 otherwise.
        size: Height and width to give all images; None where they have one size that is small.
        side: Height and width that the networks see.
    """

    train: str
    val: str
    test: str
    classes: tuple[str, ...]
    samples: int
    channels: int
    size: int | None
    side: int


def recipe_text(file: str, images: Images, teacher: str | None, student: str, epochs: int) -> str:
    """Write a complete recipe.

    Args:
        file: Where it will lie.
        images: The data.
        teacher: The directory of a finished run; None trains the student alone.
        student: The student as YAML.
        epochs: How long.
    """
    head = _head(file, teacher)
    return "\n".join([*head, *_model(teacher, student), *_data(images), *_trainer(epochs), ""])


def plain(text: str) -> str:
    """A text as YAML: in quotes where it needs them.

    Example:
        >>> plain("photos/cats"), plain("my photos"), plain("1.5")
        ('photos/cats', '"my photos"', '"1.5"')
    """
    simple = re.fullmatch(r"[A-Za-z./_][\w./-]*", text) and not _is_word_of_yaml(text)
    return text if simple else json.dumps(text)


def _is_word_of_yaml(text: str) -> bool:
    words = "true|false|null|yes|no|on|off|y|n"
    return re.fullmatch(rf"{words}|[.\d]+(inf|nan)?", text.lower()) is not None


def _head(file: str, teacher: str | None) -> list[str]:
    name = Path(file).stem
    title = "Student alone: cross-entropy"
    if teacher is not None:
        title = "KD: soft targets (Hinton et al., arXiv 1503.02531) and cross-entropy"
    lines = [f"# {title}", f"# distill fit {json.dumps(file)[1:-1]} --run_dir runs/{name}"]
    if teacher is not None:
        lines.append(f"# needs the finished run {json.dumps(teacher)[1:-1]}")
    options = "# options of any class here: distill help CLASS_PATH; a learning rate: distill tune"
    return [*lines, options, "# Published: none for these images. Ours: not measured."]


def _model(teacher: str | None, student: str) -> list[str]:
    weight = " weight: 0.1," if teacher is not None else ""
    inputs = "inputs: {input: student.logits, target: batch.target}"
    taught = "null"
    terms = [f"    ce: {{loss: torch.nn.CrossEntropyLoss,{weight} {inputs}}}"]
    if teacher is not None:
        given = f"init_args: {{run_dir: {plain(teacher)}}}"
        taught = f"{{class_path: teachers.from_run, {given}}}"
        terms += [
            "    kd:",
            "      loss: {class_path: distill.losses.KDLoss, init_args: {temperature: 4.0}}",
            "      weight: 0.9",
            "      inputs: {student: student.logits, teacher: teacher.logits}",
        ]
    return [
        "model:",
        f"  teacher: {taught}",
        f"  student: {student}",
        "  losses:",
        *terms,
        "  optimizer:",
        "    class_path: torch.optim.SGD",
        "    init_args: {lr: 0.05, momentum: 0.9, weight_decay: 5.0e-4, nesterov: true}",
        "  scheduler:",
        "    class_path: torch.optim.lr_scheduler.CosineAnnealingLR",
        '    init_args: {T_max: "${trainer.max_epochs}"}',
    ]


def _data(images: Images) -> list[str]:
    val = images.val if re.fullmatch(r"0\.\d+", images.val) else plain(images.val)
    lines = [
        "data:",
        "  class_path: distill.data.Images",
        "  init_args:",
        f"    train: {plain(images.train)}",
        f"    val: {val}",
    ]
    lines += [f"    test: {plain(images.test)}"] if images.test else []
    lines += [f"    image_size: {images.size}"] if images.size else []
    lines += ["    mean: [0.5]", "    std: [0.5]"] if images.channels == 1 else []
    padding = max(1, images.side // 8)
    crop = f"{{class_path: distill.augment.RandomCrop, init_args: {{padding: {padding}}}}}"
    lines += [f"    batch_size: {_batch_size(images.samples)}", "    augment:", f"      - {crop}"]
    if images.channels == 3:
        lines.append("      - {class_path: distill.augment.RandomHorizontalFlip}")
    return lines


def _batch_size(samples: int) -> int:
    """At most 64, and four batches an epoch where there are images enough."""
    size = 64
    while size > 2 and size * 4 > samples:
        size //= 2
    return size


def _trainer(epochs: int) -> list[str]:
    return ["trainer:", f"  max_epochs: {epochs}"]
