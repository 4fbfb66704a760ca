"""A search in a folder: its recipe with any design, what a design costs, and its run."""

import hashlib
import inspect
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch

from distill import recipes
from distill.bench.sweep.trial_queue import Trial
from distill.bench.sweep.trials import logged_to_group
from distill.core.class_paths import resolve
from distill.core.errors import RecipeError
from distill.core.trust import TRUSTED
from distill.recipes import Recipe
from distill.recipes.stages import check_stages, last_stage
from distill.runs.repeatable import RepeatableRun, digest
from distill.runs.result import Result
from distill.runs.session import Session
from distill.runs.table_precision import TablePrecision
from distill.search.latency import LatencyTable
from distill.search.space import Joint
from distill.search.spec import SearchFile
from distill.search.strategy import Design

STUDENT = "students.from_architecture"
TRIALS = "trials"
SUPERNET = "supernet"


class PinnedRun(RepeatableRun):
    """A run on one thread: other sums give other last bits, which a search makes other designs."""

    def train(self) -> Result:
        """Train, go on or read what is there, see :meth:`RepeatableRun.train`."""
        torch.set_num_threads(1)
        return super().train()


@dataclass(frozen=True)
class Plan:
    """A search in a folder.

    Attributes:
        file: The file's content.
        folder: Of its tables and trials.
        overrides: ``dotted.key=value`` each, for every run.
        seed: Of the search.
        trusted: Further packages whose classes the recipe may name.
        latency: The table that latencies are predicted from, once it is measured.
        derived: The designs of supernets, once they are trained.
        precisions: What was measured for its students; None while nothing is trained.
    """

    file: SearchFile
    folder: Path
    overrides: tuple[str, ...] = ()
    seed: int = 0
    trusted: tuple[str, ...] = ()
    latency: LatencyTable | None = None
    derived: tuple[Design, ...] = ()
    precisions: TablePrecision | None = None
    _known: dict[str, dict[str, float]] = field(default_factory=dict, compare=False)
    _recipes: dict[tuple[str, ...], Recipe] = field(default_factory=dict, compare=False)

    @property
    def out(self) -> Path:
        """Where trials are."""
        return self.folder / TRIALS

    @property
    def space(self) -> Joint:
        """The designs with the parameters."""
        return self.file.space

    @cached_property
    def recipe(self) -> Recipe:
        """The recipe, with its own student."""
        return self.changed({})

    @cached_property
    def image(self) -> tuple[int, int, int]:
        """The shape (c, h, w) of the recipe's images."""
        session = Session(last_stage(self.recipe), self.folder, self.trusted)
        session.set_up_data()
        channels, height, width = session.data.example(1).image.shape[1:]
        return channels, height, width

    def changed(self, changes: Mapping[str, Any]) -> Recipe:
        """The recipe with other values, also where it refers to them by ``${...}``.

        Args:
            changes: Values by dotted key, after all overrides.
        """
        command = self.file.sweep.command
        written = tuple(f"{key}={json.dumps(value)}" for key, value in changes.items())
        if written not in self._recipes:
            overrides = (*command.overrides, *self.overrides, *written)
            self._recipes[written] = Recipe(recipes.load(recipes.find(command.recipe), overrides))
        return self._recipes[written]

    def with_design(self, design: Design, changes: Mapping[str, Any] | None = None) -> Recipe:
        """The recipe with a design as its student, its parameters and other changes."""
        recipe = self.changed({**(changes or {}), **self.space.parameters(design)})
        architecture = self.space.designs.architecture(self.space.network(design))
        student = {"class_path": STUDENT, "init_args": {"architecture": architecture, **self.heads}}
        return recipe.put("model.student", student)

    def by_hand(self, recipe: Recipe) -> Recipe:
        """A recipe with the student that designs are held against, if the file names one.

        What the recipe's own student knows of images and classes is filled in where it takes it.
        """
        given = self.file.finals.against if self.file.finals else None
        if given is None:
            return recipe
        spec: dict[str, Any] = {"class_path": given} if isinstance(given, str) else given
        trusted = (*TRUSTED, *self.trusted)
        target = resolve("finals.against.class_path", spec.get("class_path"), trusted)
        taken = inspect.signature(target).parameters
        known = {name: value for name, value in self.heads.items() if name in taken}
        arguments = {**known, **(spec.get("init_args") or {})}
        return recipe.put("model.student", {**spec, "init_args": arguments})

    def costs(self, design: Design) -> dict[str, float]:
        """Parameters, FLOPs and, if it matters, the predicted latency of a design."""
        network, designs = self.space.network(design), self.space.designs
        key = self.space.network_key(design)
        if key not in self._known:
            classes = self.heads["num_classes"]
            found: dict[str, float] = {**designs.costs(network, classes, self.image)}
            if self.latency is not None:
                found["latency_ms"] = self.latency.predict(self.with_design(design), self.image)
            self._known[key] = found
        return self._known[key]

    def fits(self, design: Design) -> bool:
        """Whether a design is within the limits."""
        return self.file.limits.exceeded(self.costs(design)) is None

    def run(self, trial: Trial) -> RepeatableRun:
        """Make the run of a trial."""
        recipe = self.with_design(design_of(trial))
        key = digest(recipe, "")
        recipe = logged_to_group(recipe, self.file.sweep, trial)
        run_dir, name = self.out / f"trial{trial.number:03d}", self.file.sweep.command.recipe
        run = PinnedRun(recipe, run_dir, name, key, self.trusted)
        return self.precisions.of(run, like=self.recipe) if self.precisions else run

    def digest(self) -> str:
        """SHA-256 of what designs and their values depend on."""
        fields = [digest(self.recipe, ""), self.file.written, str(self.seed)]
        fields += [digest(of_supernets(self), "")] if self.file.supernet else []
        fields += [self.latency.digest()] if self.latency is not None else []
        return hashlib.sha256("\n".join(fields).encode()).hexdigest()

    def check(self) -> tuple[Design, Design]:
        """Check the limits, and the recipe with the smallest, the largest and the hand-made design.

        Returns:
            Both designs, by parameters.

        Raises:
            RecipeError: If the recipe is wrong, or no design is within the limits.
        """
        extremes = _extreme(self, "parameters", -1), _extreme(self, "parameters", 1)
        for name in ("parameters", "flops"):
            most = getattr(self.file.limits, name)
            if most is None or self.costs(extremes[0])[name] <= most:
                continue
            least = self.costs(_extreme(self, name, -1))[name]
            if least > most:
                told = f"{most:g}, the smallest design that was found has {least:,}"
                raise RecipeError(f"constraints.{name}.max", told)
        designs = [self.with_design(design) for design in extremes]
        for recipe in (*designs, self.by_hand(self.recipe)):
            check_stages(recipe, self.trusted)
            Session(last_stage(recipe), self.folder, self.trusted)
        return extremes

    @cached_property
    def heads(self) -> Mapping[str, Any]:
        """What the recipe's own student knows of images and classes."""
        given = self.recipe.get("model.student.num_classes")
        if not isinstance(given, int):
            told = "a search needs it: the number of classes of its designs"
            raise RecipeError("model.student.num_classes", told)
        channels = self.recipe.get("model.student.in_channels", 3)
        return {"num_classes": given, "in_channels": channels}


def _extreme(plan: Plan, cost: str, sign: int) -> Design:
    """The design with the least or most of a cost, one decision after the other."""
    best = tuple(0 for _ in plan.space.decisions)
    for place, values in enumerate(plan.space.decisions.values()):
        others = [(*best[:place], index, *best[place + 1 :]) for index in range(len(values))]
        best = max(others, key=lambda one: sign * plan.costs(one)[cost])
    return best


def of_supernets(plan: Plan) -> Recipe:
    """What supernets are trained with, with the recipe's own student."""
    given = plan.file.supernet
    own = (f"{key}={json.dumps(value)}" for key, value in given["overrides"].items())
    return Recipe(recipes.load(recipes.find(given["recipe"]), [*own, *plan.overrides]))


def summed_limits(plan: Plan) -> dict[str, float]:
    """The limits on costs that are sums over a design's parts."""
    pairs = ((name, getattr(plan.file.limits, name)) for name in ("parameters", "flops"))
    return {name: most for name, most in pairs if most is not None}


@runtime_checkable
class HasSupernet(Protocol):
    """A space with a network that holds, or mixes, those of all its designs."""

    def supernet(self) -> dict[str, Any]:
        """The network as in a recipe, but for its numbers of classes and channels."""


def with_supernet(plan: Plan, designs: HasSupernet) -> Recipe:
    """What supernets are trained with, with the space's own network."""
    spec = designs.supernet()
    student = {**spec, "init_args": {**spec.get("init_args", {}), **plan.heads}}
    return of_supernets(plan).put("model.student", student)


def supernet_run(plan: Plan, recipe: Recipe, place: str = "") -> RepeatableRun:
    """The run of a supernet, which trains once.

    Args:
        plan: The search.
        recipe: What it is trained with.
        place: Where below ``supernet/`` it is.
    """
    name = str(plan.file.supernet["recipe"])
    run_dir = plan.folder / SUPERNET / place
    run = PinnedRun(recipe, run_dir, name, digest(recipe, ""), plan.trusted)
    return plan.precisions.of(run) if plan.precisions else run


def design_of(trial: Trial) -> Design:
    """The design that a trial tries."""
    return tuple(trial.parameters["design"])
