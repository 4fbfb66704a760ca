"""Trains a recipe's stages, one run after the other in one run directory."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch.distributed
from rich.console import Console

from distill.core.errors import Interrupted
from distill.core.rank import first_process
from distill.recipes import Recipe
from distill.recipes.stages import WRAP, check_stages, first_student, in_stage, stages, wrap_of
from distill.runs.directory import (
    STAGES,
    clear_run,
    lock_run_dir,
    refuse_second_run,
    resume_command,
    write_config,
)
from distill.runs.initial_student import recorded
from distill.runs.result import Result
from distill.runs.single import fit_single
from distill.runs.staged_check import validate_stages
from distill.runs.staged_result import merge_stage_results
from distill.runs.staged_weights import init_from_stage, save_loss_state
from distill.runs.wandb.connection import finish


def fit_stages(
    recipe: Recipe,
    run_dir: Path,
    name: str,
    resume: bool,
    trusted: Sequence[str],
    console: Console,
    overwrite: bool = False,
) -> Result:
    """Train a recipe with stages; the arguments are those of ``runs.fit``.

    A stage is a run of its own in ``stages/<name>``. When the whole is resumed, finished stages are
    kept, and the one that was stopped goes on from its newest checkpoint.
    """
    check_stages(recipe, trusted)
    with lock_run_dir(run_dir, overwrite=overwrite):
        if not resume:
            if first_process():
                refuse_second_run(run_dir)
            recipe = validate_stages(recipe, run_dir, trusted, console)
        recipe = _spelled(recipe, run_dir, resume)
        if first_process():
            write_config(run_dir, recipe, name)
        results: dict[str, Result] = {}
        for stage, own in stages(recipe).items():
            console.print(f"stage    {stage}", highlight=False)
            folder = run_dir / STAGES / stage
            earlier = [run_dir / STAGES / before for before in reversed(results)]
            wraps = wrap_of(recipe.tree[STAGES][stage]) is not None
            begins = init_from_stage(own, earlier, wraps)
            with in_stage(recipe, stage), _resumed_as_a_whole(folder, run_dir):
                results[stage] = _train(begins, folder, name, resume, trusted, console)
            _save_loss_state(folder)
        result = merge_stage_results(results, run_dir)
    files = f"result.json, student.safetensors, metrics.csv, {STAGES}/"
    console.print(f"run      {run_dir}: {files}", highlight=False, soft_wrap=True)
    return result


def _spelled(recipe: Recipe, run_dir: Path, resume: bool) -> Recipe:
    """The recipe with its student resolved: whoever takes the run as a teacher reads that."""
    student, wraps = first_student(recipe)
    named = {}
    for stage, changes in recipe.tree[STAGES].items():
        kept = {k: v for k, v in (changes or {}).items() if not k.startswith(f"{WRAP}.")}
        named[stage] = kept | ({WRAP: wraps[stage]} if stage in wraps else {})
    whole = Recipe({**recipe.tree, STAGES: named}).put("model.student", student)
    return recorded(whole, run_dir, resume)


def _train(
    own: Recipe, folder: Path, name: str, resume: bool, trusted: Sequence[str], console: Console
) -> Result:
    """Train a stage, go on with it, or read what it left, whichever is due."""
    finished = folder / "result.json"
    if resume and finished.is_file():
        result: Result = json.loads(finished.read_text())
        return result
    # One whose checkpoints are all damaged was begun: fit_single refuses it.
    begun = resume and any(folder.glob("checkpoints/*.ckpt"))
    if resume and not begun and first_process():
        clear_run(folder)
    try:
        return fit_single(own, folder, name, begun, trusted, console)
    finally:
        finish()


def _save_loss_state(folder: Path) -> None:
    if first_process():
        save_loss_state(folder)
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.barrier()


@contextmanager
def _resumed_as_a_whole(folder: Path, run_dir: Path) -> Iterator[None]:
    """Name the whole run, not the stage, in the line that says how to resume."""
    try:
        yield
    except Interrupted as error:
        message = str(error).replace(resume_command(folder), resume_command(run_dir))
        raise Interrupted(error.signum, message) from error
