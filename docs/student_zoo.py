"""Writes the tables of docs/students.md, measured on this machine: python docs/student_zoo.py."""

import re
import statistics
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

import students
from distill.metrics import flops

PAGE = Path(__file__).with_name("students.md")
CLASSES = 10


@dataclass(frozen=True)
class Student:
    """What the page tells about a student, besides what is measured.

    Attributes:
        structure: What it stands for.
        paper: arXiv number, or venue where there is none.
        stages: Path and channels of each stage's output, shallow to deep.
        before_relu: Path and channels of the last maps before their ReLU; None where no one path
            gives them.
        embedding: Path of what the classifier sees.
        layout: Of the stages' outputs, as ``distill.losses.MapAdaptor`` calls them.
        prefix_tokens: Leading tokens that stand for no place.
        image_size: Height and width of the images that it is made for.
    """

    structure: str
    paper: str
    stages: tuple[tuple[str, int], ...]
    before_relu: tuple[str, int] | None = None
    embedding: str = "fc:input"
    layout: str = "maps"
    prefix_tokens: int = 0
    image_size: int = 32


def _resnet(
    blocks: int,
    widths: tuple[int, int, int] = (16, 32, 64),
    structure: str = "residual",
    paper: str = "1512.03385",
) -> Student:
    stages = tuple((f"layer{i}", width) for i, width in enumerate(widths, start=1))
    return Student(structure, paper, stages, (f"layer3.{blocks - 1}.relu2:input", widths[-1]))


def _wrn(widen: int) -> Student:
    stages = tuple((f"layer{i}", 2 ** (3 + i) * widen) for i in (1, 2, 3))
    return Student("width", "1605.07146", stages, ("bn", 64 * widen))


def _vgg(last: int) -> Student:
    widths = (64, 128, 256, 512, 512)
    stages = tuple((f"stage{i}", width) for i, width in enumerate(widths, start=1))
    return Student("depth", "1409.1556", stages, (f"stage5.relu{last}:input", 512))


def _tokens(paper: str, prefix_tokens: int) -> Student:
    stages = tuple((f"blocks.{i}", 128) for i in (1, 3, 5))
    head = "head:input"
    return Student("transformer", paper, stages, None, head, "tokens", prefix_tokens)


STUDENTS = {
    "lenet5": Student(
        "plain", "Proc. IEEE 1998", (("pool1", 6), ("pool2", 16)), ("conv2", 16), "fc3:input"
    ),
    "alexnet": Student(
        "plain",
        "NeurIPS 2012",
        (("pool1", 64), ("pool2", 192), ("pool3", 256)),
        ("conv5", 256),
        "fc3:input",
    ),
    "vgg8": _vgg(1),
    "vgg11": _vgg(2),
    "vgg13": _vgg(2),
    "vgg16": _vgg(3),
    "vgg19": _vgg(4),
    "resnet8": _resnet(1),
    "resnet14": _resnet(2),
    "resnet20": _resnet(3),
    "resnet32": _resnet(5),
    "resnet44": _resnet(7),
    "resnet56": _resnet(9),
    "resnet110": _resnet(18),
    "resnet8x4": _resnet(1, (64, 128, 256)),
    "resnet32x4": _resnet(5, (64, 128, 256)),
    "resnet9": Student(
        "residual",
        "Page 2018",
        (("layer1", 128), ("layer2", 256), ("layer3", 512)),
        ("layer3.relu:input", 512),
    ),
    "wrn_16_1": _wrn(1),
    "wrn_16_2": _wrn(2),
    "wrn_40_1": _wrn(1),
    "wrn_40_2": _wrn(2),
    "mobilenet_v2_half": Student(
        "depthwise",
        "1801.04381",
        (("features.3", 12), ("features.6", 16), ("features.13", 48), ("features.17", 160)),
        ("features.18.1", 1280),
        "classifier.1:input",
    ),
    "shufflenet_v1": Student(
        "grouped",
        "1707.01083",
        (("stage1", 240), ("stage2", 480), ("stage3", 960)),
        ("stage3.3.relu3:input", 960),
    ),
    "shufflenet_v2": Student(
        "split",
        "1807.11164",
        (("stage2", 116), ("stage3", 232), ("stage4", 464), ("conv5", 1024)),
        ("conv5.1", 1024),
    ),
    "googlenet32": Student(
        "multi-scale",
        "1409.4842",
        (("stage1", 64), ("stage2", 128), ("stage3", 256)),
        ("stage3.1.relu:input", 256),
    ),
    "googlenet": Student(
        "multi-scale",
        "1409.4842",
        (("inception3b", 480), ("inception4e", 832), ("inception5b", 1024)),
        image_size=224,
    ),
    "inception_v3": Student(
        "multi-scale",
        "1512.00567",
        (("Mixed_5d", 288), ("Mixed_6e", 768), ("Mixed_7c", 2048)),
        image_size=299,
    ),
    "deform_resnet8": _resnet(1, structure="deformable", paper="1811.11168"),
    "deform_resnet20": _resnet(3, structure="deformable", paper="1811.11168"),
    "attention_resnet8": _resnet(1, structure="attention", paper="1709.01507"),
    "attention_resnet20": _resnet(3, structure="attention", paper="1709.01507"),
    "layer_attention_resnet8": _resnet(1, structure="layer attention", paper="2302.03985"),
    "layer_attention_resnet20": _resnet(3, structure="layer attention", paper="2302.03985"),
    "vit32": _tokens("2010.11929", 1),
    "deit32": _tokens("2012.12877", 2),
    "swin32": Student(
        "windows",
        "2103.14030",
        (("layers.0", 48), ("layers.1", 96), ("layers.2", 192)),
        None,
        "head.fc:input",
        "channels_last",
    ),
}


def build(name: str) -> nn.Module:
    """A student for ten classes, in evaluation mode."""
    network: nn.Module = getattr(students, name)(CLASSES)
    return network.eval()


def facts(name: str) -> tuple[str, ...]:
    """The columns that are the same on every machine."""
    student, network = STUDENTS[name], build(name)
    parameters = sum(p.numel() for p in network.parameters())
    image = torch.zeros(1, 3, student.image_size, student.image_size)
    count = f"{flops(network, image) / 1e6:,.1f}"
    size = str(student.image_size)
    return f"`{name}`", student.structure, student.paper, f"{parameters:,}", size, count


def taps() -> str:
    """The table of paths."""
    lines = [
        "| name | outputs of stages (channels) | last maps before their ReLU | embedding |",
        "|---|---|---|---|",
    ]
    for name, student in STUDENTS.items():
        stages = ", ".join(f"`{path}` ({channels})" for path, channels in student.stages)
        before = student.before_relu
        last = f"`{before[0]}` ({before[1]})" if before else "none"
        lines.append(f"| `{name}` | {stages} | {last} | `{student.embedding}` |")
    return "\n".join(lines)


def replaced(page: str, block: str, text: str) -> str:
    """The page with another text between the comments that enclose a block.

    Raises:
        ValueError: If the page has no such block.
    """
    pattern = re.compile(rf"(<!-- {block} -->\n).*?(<!-- end of {block} -->)", re.DOTALL)
    new, blocks = pattern.subn(lambda found: f"{found[1]}{text}\n{found[2]}", page)
    if blocks != 1:
        raise ValueError(f"the page needs one block {block}, got {blocks}")
    return new


def main() -> None:
    """Measure all students and rewrite the page."""
    torch.set_num_threads(1)
    replaced(PAGE.read_text(), "zoo", "")  # a page without it should not fail after minutes
    lines = [
        "| name | structure | paper | parameters | image | MFLOPs | ms, batch 1 | ms, batch 64 |",
        "|---|---|---|--:|--:|--:|--:|--:|",
    ]
    for name, student in STUDENTS.items():
        network, side = build(name), student.image_size
        times = [1e3 * latency(network, torch.randn(n, 3, side, side)) for n in (1, 64)]
        lines.append(f"| {' | '.join((*facts(name), *(f'{each:.1f}' for each in times)))} |")
    page = replaced(PAGE.read_text(), "zoo", "\n".join(lines))
    PAGE.write_text(replaced(page, "taps", taps()))


@torch.no_grad()
def latency(network: nn.Module, images: Tensor) -> float:
    """Median processor time of one forward pass, in seconds.

    Of 3 to 50 passes, as many as fit into a second, after one that does not count. With one
    thread, processor time is wall time without the waits for other processes.
    """
    network(images)
    times: list[float] = []
    while len(times) < 3 or (sum(times) < 1 and len(times) < 50):
        start = time.process_time()
        network(images)
        times.append(time.process_time() - start)
    return statistics.median(times)


if __name__ == "__main__":
    main()
