"""Prepares unlabelled images for SSLD: ``distill ssld``.

Cui et al., 2021, arXiv 2103.05959, section 3.2: near duplicates of evaluation images are removed,
the teacher labels the rest, and the images with its highest probabilities are selected, up to the
same number for each class.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, cast

import torch
from rich.console import Console
from safetensors.torch import load_file, save_file
from torch import nn

from distill.core.errors import RecipeError
from distill.core.fingerprint import tensors_digest
from distill.data import PartlyLabelled
from distill.data.datasets import Samples
from distill.data.selection import PLACES, SELECTED, Places, load_places
from distill.modules import Distillation
from distill.recipes import Recipe, Tree
from distill.recipes.stages import stages
from distill.runs.directory import lock_run_dir
from distill.runs.repeatable import refuse_others
from distill.runs.session import Session, quiet_lightning
from distill.ssld import duplicates, selection
from distill.ssld.labelling import label
from distill.ssld.manifest import STEPS, is_ours, read_manifest, write_manifest
from distill.ssld.perceptual import BITS

Step = Literal["clean", "label", "select"]
_DROPPED, _PICTURE, _LABELS = "near_duplicates.csv", "near_duplicates.png", "labels.safetensors"
_WRITTEN = (_DROPPED, _PICTURE, _LABELS, PLACES, SELECTED, *(f"{step}.json" for step in STEPS))


def prepare(
    recipe: Recipe | Tree,
    top_k: int,
    bits: int = 6,
    begin: Step = "clean",
    command: str = "distill ssld",
    trusted: Sequence[str] = (),
    console: Console | None = None,
) -> Path:
    """Clean, label and select the unlabelled images of a recipe; each step writes a manifest.

    Args:
        recipe: With a teacher, and ``distill.data.PartlyLabelled`` with ``selected``, the folder
            for all files.
        top_k: Largest number of images to select of each class; at least 1.
        bits: Largest number of bits, of 126, in which near duplicates differ.
        begin: The first step; the results of earlier steps are used.
        command: Command line to write into the manifests.
        trusted: Further packages whose classes the recipe may name.
        console: For messages; a new one if None.

    Returns:
        The folder.

    Raises:
        RecipeError: If the recipe or an argument is wrong, or files of earlier steps do not match.
    """
    console = console or Console()
    _check(top_k, bits, begin)
    recipe, folder = _without_selection(Recipe.of(recipe))
    with quiet_lightning(), lock_run_dir(folder, again="start the command again"):
        if not is_ours(folder):
            refuse_others(folder, _WRITTEN)
        session = Session(recipe, folder, trusted, console)
        data = _checked(session)
        session.set_up_data()
        steps = {
            "clean": lambda: _clean(data, folder, bits, command),
            "label": lambda: _label(session, data, folder, command),
            "select": lambda: _select(data.classes, folder, top_k, command),
        }
        for step in STEPS[STEPS.index(begin) :]:
            console.print(f"{step:8} {steps[step]()}", highlight=False, soft_wrap=True)
    console.print(f"written  {folder}", highlight=False, soft_wrap=True)
    return folder


def _clean(data: PartlyLabelled, folder: Path, most: int, command: str) -> str:
    pipeline, samples = data.pipeline, data.pool()
    pool = _hash_images(samples, pipeline.workers)
    sets = {"val": pipeline.val, "test": pipeline.test}
    held: dict[str, tuple[duplicates.HashedImages, Samples]] = {
        split: (_hash_images(own, pipeline.workers), own)
        for split, own in sets.items()
        if own and len(own.ids)
    }
    hashed = {split: own for split, (own, _) in held.items()}
    pairs = duplicates.near_duplicates(pool, hashed, most)
    Places(pool.pixels, pool.sample, data.pool_digest()).save(folder)
    duplicates.write_pairs(folder / _DROPPED, pairs)
    (folder / _PICTURE).unlink(missing_ok=True)
    if pairs:
        duplicates.picture(pairs, pool, samples, held).save(folder / _PICTURE)
    left = len(pool.pixels) - len(pairs)
    facts = {
        "command": command,
        "threshold": f"{most} of {BITS} bits",
        "compared_with": {split: len(own.pixels) for split, own in hashed.items()},
        "unlabelled": len(samples.ids),
        "repeated": pool.repeated,
        "near_duplicates": len(pairs),
        "left": left,
    }
    write_manifest(folder, "clean", facts, [_DROPPED])
    dropped = f"{pool.repeated} repeated, {len(pairs)} near duplicates"
    return f"{len(samples.ids)} unlabelled images, {dropped}: {left} left"


def _label(session: Session, data: PartlyLabelled, folder: Path, command: str) -> str:
    read_manifest(folder, "clean")
    try:
        places = load_places(folder, data.pool_digest())
    except ValueError as error:
        raise RecipeError("--from", str(error)) from error
    dropped = duplicates.read_dropped(folder / _DROPPED)
    pixels = places.pixels[~torch.isin(places.pixels, dropped)]
    if len(pixels) == 0:
        raise RecipeError(
            "data", "all unlabelled images are near duplicates of validation or test images"
        )
    samples = data.pool()
    # In the order of their hashes, so that batches do not depend on the order of the images.
    samples.ids = places.samples_of(pixels)
    logits = label(session, data, samples)
    save_file({"pixels": pixels, "logits": logits}, folder / _LABELS)
    teacher = cast(nn.Module, session.model.teacher)
    facts = {
        "command": command,
        "teacher": type(teacher).__name__,
        "teacher_weights": tensors_digest(teacher.state_dict()),
        "precision": str(session.settings["precision"]),
        "images": len(pixels),
    }
    write_manifest(folder, "label", facts, [_LABELS])
    return f"{len(pixels)} images by {type(teacher).__name__}"


def _select(classes: tuple[str, ...], folder: Path, k: int, command: str) -> str:
    read_manifest(folder, "clean")
    read_manifest(folder, "label")
    labels = load_file(folder / _LABELS)
    selected = selection.top_k(labels["pixels"], labels["logits"], k)
    selection.write_selection(folder / SELECTED, selected, classes)
    counts = selection.counts(selected, classes)
    facts = {
        "command": command,
        "top_k": k,
        "images": len(selected.pixels),
        "classes": counts,
    }
    write_manifest(folder, "select", facts, [SELECTED])
    short = sum(own["selected"] != k for own in counts.values())
    return f"{len(selected.pixels)} images, at most {k} per class; {short} classes have fewer"


def _hash_images(samples: Samples, workers: int) -> duplicates.HashedImages:
    try:
        return duplicates.hash_images(samples, workers)
    except ValueError as error:
        raise RecipeError("data", str(error)) from error


def _check(top_k: int, bits: int, begin: str) -> None:
    if top_k < 1:
        raise RecipeError("--top_k", f"must be at least 1, got {top_k}")
    if not 0 <= bits < BITS:
        raise RecipeError("--bits", f"must be in 0..{BITS - 1}, got {bits}")
    if begin not in STEPS:
        raise RecipeError("--from", f"must be one of {', '.join(STEPS)}, got {begin}")


def _checked(session: Session) -> PartlyLabelled:
    data, model = session.datamodule, session.module
    if not isinstance(data, PartlyLabelled):
        got = type(data).__name__
        raise RecipeError("data", f"needs distill.data.PartlyLabelled, got {got}")
    if not isinstance(model, Distillation) or model.teacher is None:
        raise RecipeError("model.teacher", "is missing: images are labelled by a teacher")
    return data


def _without_selection(recipe: Recipe) -> tuple[Recipe, Path]:
    """Take the recipe, or its first stage, without ``selected``; return the folder too."""
    first = next(iter(stages(recipe).values())) if recipe.staged else recipe
    folder = first.get("data.selected")
    if not isinstance(folder, str):
        message = "must name a folder, for the files of distill ssld"
        raise RecipeError("data.selected", f"{message}, got {folder!r}")
    return first.put("data.selected", None), Path(folder)
