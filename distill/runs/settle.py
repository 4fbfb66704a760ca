"""``trainer.precision: auto``: precision and layout, measured once before a run begins."""

import hashlib
import json
import os
import warnings
from collections.abc import Callable, Mapping
from copy import deepcopy
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from pytorch_lightning.utilities.seed import isolate_rng
from rich.console import Console
from torch import Tensor, nn

from distill.core.errors import RecipeError
from distill.core.outputs import by_name
from distill.core.protocols import LaysOut
from distill.core.rank import first_process
from distill.recipes import Recipe, read
from distill.recipes.recipe import PRECISION, STAGES
from distill.recipes.settings import MEASURED
from distill.runs.precision import cpu_has_bf16
from distill.runs.session import Session
from distill.runs.speed_trial import Trial, Way, trial

LAYOUT = "model.channels_last"
Changes = dict[str, Any]
_PATIENCE = timedelta(minutes=30)


def settle(session: Session, console: Console | None = None) -> Changes:
    """Measure, take and tell a session's precision and layout, where its recipe asks for it.

    The layout is measured too where the recipe leaves it open. Weights, statistics of batch norms
    and random numbers stay as they are. Of several processes the first one decides.

    Args:
        session: What is going to be trained, its data set up.
        console: Where to print.

    Returns:
        What was chosen, by dotted key; nothing where the recipe says what it wants.

    Raises:
        RecipeError: If no process can decide for all.
    """
    if not session.config.measures:
        return {}
    trainer = session.bare_trainer(enable_progress_bar=False)
    open_layout = _layout_is_open(session)

    def found() -> tuple[Changes, str]:
        measured = _measured(session, trainer.strategy.root_device, open_layout)
        way = measured.fastest() if measured.ms else Way("32-true", False)
        layout = {LAYOUT: way.channels_last} if open_layout else {}
        return {PRECISION: way.precision, **layout}, _told(measured)

    changes, told = _agreed(trainer, session.config, found)
    session.settings["precision"] = changes[PRECISION]
    for key, value in changes.items():
        session.config = session.config.put(key, value)
    if open_layout and isinstance(session.model.networks, LaysOut):
        session.model.networks.lay_out(changes[LAYOUT])
    if console is not None:
        console.print(f"trial    {told}", highlight=False, soft_wrap=True)
    return changes


def place_of(recipe: Recipe, stage: str) -> str:
    """Where a recipe asks for the trial that a stage makes: of itself, or of the whole."""
    own = (recipe.tree[STAGES][stage] or {}).get(PRECISION)
    return f"{STAGES}.{stage}." if own == MEASURED else ""


def as_begun(recipe: Recipe, run_dir: Path) -> Recipe:
    """The recipe with what its run settled on, as far as its ``config.yaml`` is there to say it.

    Args:
        recipe: The recipe.
        run_dir: Of a run that goes on, or that another process of it has begun.
    """
    written = run_dir / "config.yaml"
    if not written.is_file():
        return recipe
    begun = read(written)
    named: Mapping[str, Any] = begun.get(STAGES) or {}
    if recipe.measures:
        recipe = _with(recipe, "", Recipe(begun).get)
    for stage in recipe.tree.get(STAGES) or {}:
        if place := place_of(recipe, stage):
            recipe = _with(recipe, place, (named.get(stage) or {}).get)
    return recipe


def launched() -> bool:
    """Whether the first process of a run has started this one, after it wrote ``config.yaml``."""
    return not first_process() and "LOCAL_RANK" in os.environ and not _of_torchrun()


def _with(recipe: Recipe, place: str, given: Callable[[str], Any]) -> Recipe:
    for key in (PRECISION, LAYOUT):
        if (value := given(key)) is not None:
            recipe = recipe.put(place + key, value)
    return recipe


def _of_torchrun() -> bool:
    return bool(TorchElasticEnvironment.detect())


def _layout_is_open(session: Session) -> bool:
    """Whether the module takes a layout and is given none."""
    arguments = session.config.tree["model"].get("init_args") or {}
    return "channels_last" in arguments and arguments["channels_last"] is None


def _agreed(
    trainer: pl.Trainer, config: Recipe, found: Callable[[], tuple[Changes, str]]
) -> tuple[Changes, str]:
    """What the first process finds: torchrun's store hands it to the others."""
    environment = getattr(trainer.strategy, "cluster_environment", None)
    by_hand = isinstance(environment, LightningEnvironment)
    if trainer.world_size == 1 or (by_hand and trainer.num_nodes == 1 and first_process()):
        return found()
    if not isinstance(environment, TorchElasticEnvironment):
        told = "is measured by a run of one machine, or under torchrun: name one, such as 32-true"
        raise RecipeError(PRECISION, told)
    host, port = environment.main_address, environment.main_port
    store = torch.distributed.TCPStore(  # type: ignore[attr-defined, unused-ignore]
        host, port, is_master=False, timeout=_PATIENCE
    )
    key = hashlib.sha256(json.dumps(config.tree, sort_keys=True, default=str).encode()).hexdigest()
    if first_process():
        store.set(f"distill/{key}", json.dumps(found()))
    changes, told = json.loads(store.get(f"distill/{key}"))
    return changes, told


def _measured(session: Session, device: torch.device, open_layout: bool) -> Trial:
    """Time steps of copies of the student on random images of the data's size."""
    layouts = (False, True) if open_layout else (bool(session.config.get(LAYOUT)),)
    halves = device.type != "cpu" or cpu_has_bf16()
    precisions = ("32-true", "bf16-mixed") if halves else ("32-true",)
    ways = [Way(precision, layout) for precision in precisions for layout in layouts]
    if len(ways) == 1:
        return Trial({ways[0]: 0.0}, 0)
    batch = getattr(session.datamodule, "batch_size", None) or 32
    with isolate_rng(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        shape = session.data.example(1).image.shape[1:]
        try:
            copies = {layout: _copy(session.model.student, device, layout) for layout in layouts}
        except Exception:  # a foreign part that cannot be copied
            return Trial({}, 0)
        generator = torch.Generator().manual_seed(0)
        images = torch.randn(batch, *shape, generator=generator).to(device)

        def step(way: Way, number: int) -> None:
            form = _form(way.channels_last)
            _step(copies[way.channels_last], images[:number].contiguous(memory_format=form), way)

        return trial(step, ways, batch)


def _copy(student: nn.Module, device: torch.device, channels_last: bool) -> nn.Module:
    return deepcopy(student).to(device).train().to(memory_format=_form(channels_last))


def _form(channels_last: bool) -> torch.memory_format:
    return torch.channels_last if channels_last else torch.contiguous_format


def _step(student: nn.Module, images: Tensor, way: Way) -> None:
    """Forward and backward; the loss costs nothing beside them."""
    device = images.device.type
    with torch.autocast(device, torch.bfloat16, enabled=way.precision == "bf16-mixed"):
        outputs = by_name(student(images))
    total = torch.stack([v.float().mean() for v in outputs.values() if v.requires_grad]).sum()
    student.zero_grad(set_to_none=True)
    torch.autograd.backward(total)
    if device != "cpu":
        torch.accelerator.synchronize(images.device)


def _told(measured: Trial) -> str:
    """The line of a trial: what was chosen, and the times of all."""
    if not measured.ms:
        return "32-true: the student could not be tried"
    chosen = measured.fastest()
    if measured.images == 0:
        return f"{chosen}: this CPU has no bf16 units"
    others = sorted((ms, way) for way, ms in measured.ms.items() if way != chosen)
    told = "".join(f", {way} {ms:.1f}" for ms, way in others)
    return f"{chosen}: {measured.ms[chosen]:.1f} ms a step of {measured.images} images{told}"
