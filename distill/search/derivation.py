"""The supernets of a gradient search: checked, trained once per seed, and read for designs."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Protocol, cast, runtime_checkable

from rich.console import Console

from distill.bench.processes import Task, run_tasks
from distill.bench.runner import RunsFailedError
from distill.core.batch import Batch
from distill.core.errors import RecipeError
from distill.modules import DifferentiableSearch
from distill.modules.supernet import choice
from distill.recipes import Recipe
from distill.recipes.stages import check_stages, last_stage
from distill.runs.directory import WEIGHTS, load_weights
from distill.runs.repeatable import RepeatableRun
from distill.runs.session import Session, quiet_lightning
from distill.search import inheritance
from distill.search.blockwise import block_design, check_blocks
from distill.search.evaluations import Blockwise
from distill.search.perturbation import perturbed
from distill.search.plan import (
    HasSupernet,
    Plan,
    of_supernets,
    summed_limits,
    supernet_run,
    with_supernet,
)
from distill.search.strategies.derived import Derived, Nodes, derive
from distill.search.strategy import Design

_SIZE = "a gradient search without a cost term takes whatever is largest"


@runtime_checkable
class Mixes(HasSupernet, Protocol):
    """A space whose designs one network mixes."""

    def design(self, cells: Nodes) -> Design:
        """The design of cells, by kind, of each node what it reads, with an operation each."""


def check_supernets(plan: Plan) -> None:
    """Check that a gradient search can be carried out.

    Raises:
        RecipeError: Naming what is wrong.
    """
    if not isinstance(plan.file.strategy, Derived):
        return
    if isinstance(plan.file.evaluation, Blockwise):
        check_blocks(plan)
        return
    if not summed_limits(plan):
        told = f"{_SIZE}; give parameters or flops a max"
        raise RecipeError("constraints", told)
    if not isinstance(plan.space.designs, Mixes):
        name = type(plan.space.designs).__name__
        told = f"{name} has no supernet for a gradient search, Cells has one"
        raise RecipeError("space", told)
    _opened(plan, of_supernets(plan))
    recipe = supernet_recipe(plan, plan.file.seeds[0])
    if recipe.get("model.cost_weight", 1.0) == 0:
        raise RecipeError("supernet.recipe", f"has cost_weight 0; {_SIZE}; leave it out for 1")
    check_stages(recipe, plan.trusted)
    _opened(plan, recipe)


def with_supernets(plan: Plan, console: Console, jobs: int) -> Plan:
    """The plan with the designs of its supernets, which are trained here unless they are there.

    Args:
        plan: The search; nothing is done where its strategy needs none.
        console: For messages.
        jobs: Runs at once.

    Raises:
        RunsFailedError: If a supernet failed, after all others finished.
        RecipeError: If a supernet has no design within the limits.
    """
    strategy = plan.file.strategy
    if not isinstance(strategy, Derived):
        return plan
    runs = {seed: run_of(plan, seed) for seed in plan.file.seeds}
    failed = []
    for result in run_tasks([Task(seed, run.train, ()) for seed, run in runs.items()], jobs):
        said = f"FAILED: {result.error}" if result.error else "trained"
        console.print(f"supernet of seed {result.key}: {said}", highlight=False)
        failed += [result.key] if result.error else []
    if failed:
        told = f"{len(failed)} supernets failed; the same command tries them again"
        raise RunsFailedError(told)
    designs = [derived_design(plan, run, strategy) for run in runs.values()]
    return replace(plan, derived=tuple(designs))


def supernet_recipe(plan: Plan, seed: int) -> Recipe:
    """What a supernet is trained with: the space's own network, of mixtures under the limits.

    Args:
        plan: The search.
        seed: Of the run.
    """
    if isinstance(plan.file.evaluation, Blockwise):
        return inheritance.supernet_recipe(plan).put("seed_everything", seed)
    recipe = with_supernet(plan, cast(Mixes, plan.space.designs))
    return recipe.put("model.limits", summed_limits(plan)).put("seed_everything", seed)


def run_of(plan: Plan, seed: int) -> RepeatableRun:
    """The run of a seed's supernet."""
    return supernet_run(plan, supernet_recipe(plan, seed), f"seed{seed}")


def derived_design(plan: Plan, run: RepeatableRun, strategy: Derived) -> Design:
    """The design of a supernet that is trained.

    Raises:
        RecipeError: If none is within the limits.
    """
    if isinstance(plan.file.evaluation, Blockwise):
        return block_design(plan, run, plan.file.evaluation.images)
    session, module = _opened(plan, run.recipe)
    load_weights(module.student, run.run_dir / WEIGHTS)
    cells = derived_cells(session, module, strategy, summed_limits(plan))
    if cells is None:
        told = f"no operations of the supernet in {run.run_dir} are within them"
        raise RecipeError("constraints", told)
    return cast(Mixes, plan.space.designs).design(cells)


def derived_cells(
    session: Session, module: DifferentiableSearch, strategy: Derived, limits: Mapping[str, float]
) -> Nodes | None:
    """What a trained supernet says, by kind, of each node what it reads, with an operation each.

    Args:
        session: Its recipe, opened.
        module: The session's module, with the supernet's weights.
        strategy: Says what is strong.
        limits: By cost the most that a design may have.

    Returns:
        None if no operations of the strongest edges are within the limits.
    """
    supernet = module.supernet
    session.set_up_data()
    if strategy.by == "magnitude":
        pairs = supernet.alphas.items()
        strengths = {kind: choice(alphas.detach(), supernet.ops).log() for kind, alphas in pairs}
    else:
        module.networks.set_up(session.data)
        module.eval()
        strengths = perturbed(module, _images(session, strategy.images))
    known, costs = supernet.costs(tuple(session.data.example(1).image.shape[1:])), []
    for name, most in limits.items():
        fixed, of_ops = known[name]
        costs.append((fixed, {kind: each.tolist() for kind, each in of_ops.items()}, most))
    values = {kind: each.tolist() for kind, each in strengths.items()}
    return derive(values, supernet.edges, supernet.ops, costs)


def _images(session: Session, most: int) -> Iterator[Batch]:
    seen = 0
    for batch in session.datamodule.val_dataloader():
        if seen >= most:
            return
        seen += len(batch.image)
        yield batch


def _opened(plan: Plan, recipe: Recipe) -> tuple[Session, DifferentiableSearch]:
    with quiet_lightning():
        session = Session(last_stage(recipe), plan.folder, plan.trusted)
    if not isinstance(session.module, DifferentiableSearch):
        told = f"needs distill.modules.DifferentiableSearch, has {type(session.module).__name__}"
        raise RecipeError("supernet.recipe", told)
    return session, session.module
