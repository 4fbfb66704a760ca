"""Does PP-OCR's recogniser, read as an ONNX file, teach a small CRNN to read photographed words?"""

import argparse
import csv
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from importlib.util import find_spec
from multiprocessing import get_context
from pathlib import Path
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from rich.console import Console
from torch import Tensor, nn

from distill import recipes, runs
from distill.losses import SSLDLoss
from distill.metrics import read_lines
from teachers import Resized, from_run, onnx_model

HERE = Path(__file__).parent
LETTERS = "abcdefghijklmnopqrstuvwxyz"
HEIGHT, WIDTH, STEPS = 16, 96, 24
# Words of skimage's page.png, a photograph of a printed page, that are of small letters alone: the
# rows of a line, then the first and last column and the text of each word, as a person reads them.
SEEN = {
    (10, 34): ((152, 290, "segmentation"),),
    (49, 66): (
        *((33, 46, "us"), (56, 80, "first"), (91, 157, "determine"), (168, 221, "markers")),
        *((231, 243, "of"), (252, 273, "the"), (284, 315, "coins"), (325, 346, "and")),
        (357, 375, "the"),
    ),
    (66, 83): (
        *((134, 186, "markers"), (194, 213, "are"), (221, 258, "pixels"), (265, 291, "that")),
        *((298, 315, "we"), (322, 341, "can"), (349, 375, "label")),
    ),
}
UNSEEN = {
    (83, 100): (
        *((6, 101, "unambiguously"), (111, 124, "as"), (134, 172, "either")),
        *((182, 222, "object"), (232, 244, "or")),
    ),
    (100, 118): (
        *((6, 24, "the"), (32, 81, "markers"), (89, 108, "are"), (116, 152, "found")),
        *((160, 172, "at"), (180, 201, "the"), (208, 232, "two"), (239, 295, "extreme")),
        *((302, 333, "parts"), (340, 351, "of"), (357, 375, "the")),
    ),
    (117, 135): ((7, 66, "histogram"), (73, 84, "of"), (90, 117, "grey")),
}
Lines = dict[tuple[int, int], tuple[tuple[int, int, str], ...]]


def packaged(package: str, file: str) -> Path:
    """A file that a package brings along, without importing it."""
    found = find_spec(package)
    if found is None or found.origin is None:
        raise SystemExit(f"needs the package {package}")
    return Path(found.origin).parent / file


def page_words(lines: Lines, height: int = HEIGHT, width: int = WIDTH) -> tuple[Tensor, list[str]]:
    """Crops (n, 1, h, w) in 0..1, on paper of their own shade, and their texts."""
    page = np.asarray(Image.open(packaged("skimage", "data/page.png")).convert("L"))
    crops, texts = [], []
    for (top, bottom), words in lines.items():
        for left, right, text in words:
            crop = torch.from_numpy(page[top:bottom, max(left - 3, 0) : right + 4].copy())
            crops.append(_placed(crop[None, None].float() / 255, height, width))
            texts.append(text)
    return torch.cat(crops), texts


def _placed(crop: Tensor, height: int, width: int) -> Tensor:
    wide = min(round(crop.shape[3] * height / crop.shape[2]), width)
    small = F.interpolate(crop, (height, wide), mode="bilinear", antialias=True)
    paper = small.quantile(0.8).item()
    return F.pad(small, (0, width - wide), value=paper).clamp(0, 1)


@torch.no_grad()
def read(network: nn.Module, images: Tensor) -> list[str]:
    """The texts that a network reads in images in 0..1."""
    mean, std = cast(tuple[tuple[float], tuple[float]], network.input_normalization)
    logits = network.eval()((images - mean[0]) / std[0])
    return ["".join(LETTERS[n - 1] for n in line if n) for line in read_lines(logits)]


def right(network: nn.Module, images: Tensor, texts: list[str]) -> str:
    """How many texts are read without an error."""
    found = read(network, images)
    return f"{sum(a == b for a, b in zip(found, texts, strict=True))} of {len(texts)}"


def adapt(student: nn.Module, teacher: nn.Module, images: Tensor, steps: int) -> None:
    """Train a student on crops without labels, towards what the teacher reads in them."""
    (mean, std), (own, spread) = teacher.input_normalization, student.input_normalization  # type: ignore[misc]
    shifted = [F.pad(images, (by, 0, 0, 0), mode="replicate")[..., :WIDTH] for by in range(5)]
    targets = [teacher((views - mean[0]) / std[0]) for views in shifted]
    generator = torch.Generator().manual_seed(0)
    optimizer = torch.optim.Adam(student.parameters(), lr=1e-3)
    loss = SSLDLoss()
    student.train().requires_grad_(True)
    for step in range(steps):
        contrast = 0.6 + 0.8 * torch.rand((), generator=generator)
        views = ((shifted[step % 5] - 0.5) * contrast + 0.5).clamp(0, 1)
        value = STEPS * loss(student((views - own[0]) / spread[0]), targets[step % 5])
        optimizer.zero_grad()
        value.backward()
        optimizer.step()


def ppocr(size: tuple[int, int] = (48, 192)) -> nn.Module:
    """PP-OCR's recogniser for small letters."""
    path = packaged("rapidocr_onnxruntime", "models/ch_PP-OCRv4_rec_infer.onnx")
    classes = ["", *LETTERS]
    options = {"mean": [0.5], "std": [0.5], "classes": classes}
    return Resized(onnx_model(str(path), gives="probabilities", **options), size).eval()  # type: ignore[arg-type]


def arm(name: str, folder: Path, seed: int) -> list[tuple[str, str, str, str]]:
    """Rows of results of a student, before and after the crops."""
    torch.set_num_threads(1)
    teacher, seen, unseen = ppocr(), page_words(SEEN), page_words(UNSEEN)
    recipe = recipes.Recipe(recipes.load(HERE / "kd.yaml")).put("seed_everything", seed)
    if name == "ctc":
        alone = {"ctc": recipe.get("model.losses.ctc")}
        recipe = recipe.put("model.teacher", None).put("model.losses", alone)
    else:
        path = str(teacher.network.graph.path)  # type: ignore[union-attr]
        recipe = recipe.put("model.teacher.init_args.teacher.init_args.path", path)
        recipe = recipe.put("model.cache", str(folder / "ppocr.sqlite"))
    run_dir = folder / name.replace(" + ", "_")
    result = runs.fit(recipe, run_dir, console=Console(quiet=True))
    student = from_run(str(run_dir))
    drawn = f"{result['student']['top1']['test']['last']:.1f}"
    before = (name, drawn, right(student, *seen), right(student, *unseen))
    adapt(student, teacher, seen[0], steps=200)
    after = f"{name}, then unlabelled crops"
    return [before, (after, "", right(student, *seen), right(student, *unseen))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="for the runs")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    teacher = ppocr()
    rows = [
        ("PP-OCRv4", "", right(teacher, *page_words(SEEN)), right(teacher, *page_words(UNSEEN)))
    ]
    names = ("ctc", "ctc + teacher")
    with ProcessPoolExecutor(len(names), get_context("spawn")) as pool:
        one = partial(arm, folder=arguments.folder, seed=arguments.seed)
        rows += [row for found in pool.map(one, names) for row in found]
    with (arguments.folder / "results.csv").open("w", newline="") as file:
        header = ("network", "drawn_test_top1", "crops_adapted_on", "other_crops")
        csv.writer(file).writerows([header, *rows])
    for row in rows:
        print(*row, sep=" | ")


if __name__ == "__main__":
    main()
