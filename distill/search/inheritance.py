"""Designs that take their weights from a supernet, which is trained once."""

import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from torch import Tensor, nn

from distill.core.batch import Batch
from distill.core.errors import RecipeError
from distill.core.files import write_tensors
from distill.core.suggest import nearest
from distill.modules import OnceForAll, recalibrate
from distill.recipes import Recipe
from distill.recipes.stages import check_stages, last_stage
from distill.runs.directory import WEIGHTS, load_weights
from distill.runs.initial_student import opened
from distill.runs.session import Session, quiet_lightning
from distill.search.evaluations import Inherited
from distill.search.plan import HasSupernet, Plan, supernet_run, with_supernet

BEST = "best.safetensors"


class Heirs:
    """The networks of designs with the weights of a supernet.

    Args:
        plan: The search.
        recipe: What the supernet is trained with.
        images: Training images, at most, that batch norms are measured with.
    """

    def __init__(self, plan: Plan, recipe: Recipe, images: int) -> None:
        self._plan, self._images = plan, images
        with quiet_lightning():
            self._session = Session(opened(last_stage(recipe)), plan.folder, plan.trusted)
        module = self._session.module
        if not isinstance(module, OnceForAll):
            told = f"needs distill.modules.OnceForAll, has {type(module).__name__}"
            raise RecipeError("supernet.recipe", told)
        self._session.set_up_data()
        module.networks.set_up(self._session.data)
        self._module = module
        self._measured: list[Tensor] = []

    def load(self, run_dir: Path) -> None:
        """Take the weights of a finished run."""
        load_weights(self._module.student, run_dir / WEIGHTS)

    def network(self, architecture: Any) -> nn.Module:  # noqa: ANN401 - a mapping of any kind
        """The network of a design on its own, its batch norms measured anew."""
        if not self._measured:
            self._measured = [self._normalized(batch) for batch in self._training_batches()]
        self._module.elastic.choose(architecture)
        network = self._module.elastic.extract()
        recalibrate(network, self._measured)
        return network

    def value(self, design: Sequence[int]) -> float | None:
        """The metric of a design on all validation images; None if it is not finite."""
        network = self.network(self._plan.space.designs.architecture(design))
        found = self._figures(network, self._session.datamodule.val_dataloader())
        value = found[self._plan.file.sweep.metric.name]
        return value if math.isfinite(value) else None

    def check(self) -> None:
        """Check, with a few validation images, that the metric is among the figures.

        Raises:
            RecipeError: If it is not.
        """
        name = self._plan.file.sweep.metric.name
        batch = next(iter(self._session.datamodule.val_dataloader()))
        found = self._figures(self._module.elastic.extract().eval(), [batch])
        if name not in found:
            told = f"is not measured of designs that inherit: {', '.join(found)}"
            raise RecipeError("metric.name", told + nearest(name, found))

    @torch.no_grad()
    def _figures(self, network: nn.Module, batches: Iterable[Batch]) -> dict[str, float]:
        """What a run would log of these images, by name."""
        task = self._session.task
        metric, losses = task.evaluation(self._session.data), list[tuple[float, int]]()
        for batch in batches:
            outputs = network(self._normalized(batch))
            metric.update(task.predicted(outputs), task.target(batch))
            loss = task.label_loss(outputs, batch)
            losses += [] if loss is None else [(loss.item(), len(batch.image))]
        found = metric.compute()
        shares = found if isinstance(found, dict) else {task.metric: found}
        figures = {f"val/{name}": (100 * share).item() for name, share in shares.items()}
        if losses:
            total = sum(loss * count for loss, count in losses)
            figures["val/loss"] = total / sum(count for _, count in losses)
        return figures

    def _normalized(self, batch: Batch) -> Tensor:
        return self._module.networks.normalization["student"](batch.image)

    def _training_batches(self) -> Iterator[Batch]:
        """The first batches of training by their keys, before augmentation."""
        seen = 0
        for batch in self._session.datamodule.train_dataloader():
            if seen >= self._images:
                return
            seen += len(batch.image)
            yield batch


def supernet_recipe(plan: Plan) -> Recipe:
    """What the supernet is trained with: the recipe that the file names, with the space's network.

    Raises:
        RecipeError: If the space has none.
    """
    designs = plan.space.designs
    if not isinstance(designs, HasSupernet):
        told = f"{type(designs).__name__} has no supernet, as Chain has"
        raise RecipeError("space", told)
    return with_supernet(plan, designs)


def check_inheritance(plan: Plan) -> None:
    """Check, where designs inherit, that there is a supernet to inherit from.

    Raises:
        RecipeError: Naming what is wrong.
    """
    if isinstance(plan.file.evaluation, Inherited):
        recipe = supernet_recipe(plan)
        check_stages(recipe, plan.trusted)
        Heirs(plan, recipe, 1).check()


def heirs_of(plan: Plan, console: Console) -> Heirs | None:
    """What designs inherit, from a supernet that is trained here unless it is there.

    Args:
        plan: The search.
        console: For messages.

    Returns:
        None where designs do not inherit.
    """
    if not isinstance(plan.file.evaluation, Inherited):
        return None
    recipe = supernet_recipe(plan)
    run = supernet_run(plan, recipe)
    done = run.result() is not None
    console.print(f"supernet {'trained before' if done else f'is trained in {run.run_dir}'}")
    run.train()
    heirs = Heirs(plan, recipe, plan.file.evaluation.recalibrate)
    heirs.load(run.run_dir)
    return heirs


def write_heir(plan: Plan, heirs: Heirs, best: Recipe) -> None:
    """Write the weights that the best design inherits."""
    network = heirs.network(best.get("model.student.architecture"))
    write_tensors(plan.folder / BEST, network.state_dict())
