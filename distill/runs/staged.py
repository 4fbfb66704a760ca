"""Carries out a recipe's stages, one run after the other in one run directory."""

import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path

import torch.distributed
from rich.console import Console

from distill.core.errors import Interrupted
from distill.core.rank import first_process
from distill.recipes import Tree
from distill.recipes.stages import check, in_stage, last, trees
from distill.runs import single as run
from distill.runs.directory import STAGES, claimed, refuse_second_run, write_config
from distill.runs.result import Result
from distill.runs.staged_check import rehearse
from distill.runs.staged_result import write_outcome
from distill.runs.staged_weights import going_on, leave_parts
from distill.runs.wandb.connection import finish


def fit_stages(
    tree: Tree,
    run_dir: Path,
    *,
    name: str = "",
    resume: bool = False,
    trusted: Sequence[str] = (),
    console: Console | None = None,
) -> Result:
    """Train what a recipe with stages describes; the arguments are those of ``run.fit``.

    A stage is a run of its own in ``stages/<name>``. When the whole is resumed, finished stages are
    kept, and the one that was stopped goes on from its newest checkpoint.
    """
    console = console or Console(quiet=not first_process())
    tree = deepcopy(tree)
    check(tree, trusted)
    with claimed(run_dir):
        if not resume:
            if first_process():
                refuse_second_run(run_dir)
            rehearse(tree, run_dir, trusted, console)
        if first_process():
            _write_config(tree, run_dir, name)
        results: dict[str, Result] = {}
        for stage, own in trees(tree).items():
            console.print(f"stage    {stage}", highlight=False)
            folder = run_dir / STAGES / stage
            begins = going_on(own, [run_dir / STAGES / before for before in reversed(results)])
            with in_stage(tree, stage), _resumed_as_a_whole(folder, run_dir):
                results[stage] = _carried_out(begins, folder, name, resume, trusted, console)
            _leave(folder)
        result = write_outcome(results, run_dir)
    files = f"result.json, student.safetensors, metrics.csv, {STAGES}/"
    console.print(f"run      {run_dir}: {files}", highlight=False, soft_wrap=True)
    return result


def _write_config(tree: Tree, run_dir: Path, name: str) -> None:
    """The recipe as it is, its student resolved: whoever takes it as a teacher reads that."""
    model = {**tree["model"]["init_args"], "student": last(tree)["model"]["init_args"]["student"]}
    whole = {**tree, "model": {**tree["model"], "init_args": model}}
    write_config(run_dir, whole, name)


def _carried_out(
    own: Tree, folder: Path, name: str, resume: bool, trusted: Sequence[str], console: Console
) -> Result:
    """Train a stage, go on with it, or read what it left, whichever is due."""
    finished = folder / "result.json"
    if resume and finished.is_file():
        result: Result = json.loads(finished.read_text())
        return result
    # One whose checkpoints are all damaged is begun: run.fit refuses it.
    begun = resume and any(folder.glob("checkpoints/*.ckpt"))
    if resume and not begun and first_process():
        shutil.rmtree(folder, ignore_errors=True)
    try:
        return run.fit(own, folder, name=name, resume=begun, trusted=trusted, console=console)
    finally:
        finish()


def _leave(folder: Path) -> None:
    if first_process():
        leave_parts(folder)
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.barrier()


@contextmanager
def _resumed_as_a_whole(folder: Path, run_dir: Path) -> Iterator[None]:
    """Who is told how to go on is told the whole run, not the stage."""
    try:
        yield
    except Interrupted as error:
        told = str(error).replace(f"distill resume {folder}", f"distill resume {run_dir}")
        raise Interrupted(error.signum, told) from error
