"""What the blocks of a network that holds many say of its parts (DNA, arXiv 1911.13053)."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import product, takewhile
from pathlib import Path
from typing import Any

import torch

from distill.core.batch import Batch
from distill.core.errors import RecipeError
from distill.modules import Blockwise
from distill.modules.blockwise import CONNECTORS
from distill.modules.subnets import Architecture
from distill.modules.teacher import frozen_running_stats
from distill.recipes import Recipe
from distill.recipes.stages import check_stages, last_stage
from distill.runs.directory import WEIGHTS, load_weights
from distill.runs.repeatable import RepeatableRun
from distill.runs.session import Session, quiet_lightning
from distill.search.inheritance import supernet_recipe
from distill.search.knapsack import knapsack
from distill.search.plan import Plan, summed_limits
from distill.search.strategy import Design

Groups = Sequence[Sequence[int]]


class Ratings:
    """What the blocks of parts lose, each on its own.

    Args:
        module: Its objective wired, its normalisations set up.
        batches: Images as they are.
    """

    def __init__(self, module: Blockwise, batches: Iterable[Batch]) -> None:
        module.eval()
        self._module = module
        self._batches = [(batch, module.teacher_maps(batch)) for batch in batches]

    @torch.no_grad()
    def of(self, architecture: Architecture) -> list[float]:
        """The mean loss of each block of a part, from the image on; their sum is its rating.

        Batch norms use the statistics of the batch, as in training.
        """
        module, total = self._module, 0
        sums = torch.zeros(len(module.blocks), dtype=torch.float64)
        module.student.train()
        with frozen_running_stats(module.student):
            for batch, known in self._batches:
                losses = module.block_losses(batch, known, architecture)
                sums += len(batch.image) * torch.stack(list(losses.values())).double().cpu()
                total += len(batch.image)
        module.student.eval()
        return (sums / total).tolist()


def ratings(session: Session, module: Blockwise, run_dir: Path, images: int) -> Ratings:
    """The ratings of a finished run's parts by validation images.

    Args:
        session: Its recipe, opened.
        module: The session's.
        run_dir: With its weights.
        images: How many, at most, but for those of the last batch.
    """
    session.set_up_data()
    module.networks.set_up(session.data)
    module.objective.wire(module.networks, session.data, module.teaching.absent)
    load_weights(module.student, run_dir / WEIGHTS)
    load_weights(module.losses, run_dir / CONNECTORS)
    seen = 0

    def more(batch: Batch) -> bool:
        nonlocal seen
        before, seen = seen, seen + len(batch.image)
        return before < images

    return Ratings(module, takewhile(more, session.datamodule.val_dataloader()))


def best_design(
    sizes: Sequence[int],
    groups: Groups,
    rate: Callable[[Design], Sequence[float]],
    costs: Callable[[Design], Sequence[float]],
    limits: Sequence[float],
) -> Design | None:
    """The design whose blocks lose least in sum among those within the limits, exactly.

    Decisions in no group, such as the widths between blocks, are taken in all combinations. In each
    of these a block's loss and costs do not depend on other blocks: it is a knapsack.

    Args:
        sizes: Of each decision, how many values it has.
        groups: Of each block, the places of the decisions that nothing but it depends on.
        rate: Of a design, what each block loses.
        costs: Of a design.
        limits: On each of the costs.

    Returns:
        The earlier one of equals; None if no design is within the limits.
    """
    inside = {place for group in groups for place in group}
    outside = [place for place in range(len(sizes)) if place not in inside]
    options = [list(product(*(range(sizes[place]) for place in group))) for group in groups]
    best: tuple[float, Design] | None = None
    for shared in product(*(range(sizes[place]) for place in outside)):
        start = dict(zip(outside, shared, strict=True))

        def made(*chosen: int, start: Mapping[int, int] = start) -> Design:
            found = dict(start)
            for group, own, option in zip(groups, options, chosen, strict=True):
                found |= zip(group, own[option % len(own)], strict=True)
            return tuple(found[place] for place in range(len(sizes)))

        rates = [rate(made(*[at] * len(groups))) for at in range(max(map(len, options)))]
        losses = [[rates[at][b] for at in range(len(own))] for b, own in enumerate(options)]
        prices, fixed = _prices(options, made, costs)
        left = [most - least for most, least in zip(limits, fixed, strict=True)]
        values = [[-loss for loss in of] for of in losses]
        chosen = knapsack(values, prices, left) if min(left, default=0) >= 0 else None
        if chosen is not None:
            loss = sum(of[option] for of, option in zip(losses, chosen, strict=True))
            if best is None or loss < best[0]:
                best = loss, made(*chosen)
    return None if best is None else best[1]


def _prices(
    options: Sequence[Sequence[object]],
    made: Callable[..., Design],
    costs: Callable[[Design], Sequence[float]],
) -> tuple[list[list[list[float]]], list[float]]:
    """What each option of each block costs above the block's cheapest, and what is left of all."""
    first, prices = [0] * len(options), []
    fixed = list(costs(made(*first)))
    for b, own in enumerate(options):
        found = [costs(made(*first[:b], at, *first[b + 1 :])) for at in range(len(own))]
        least = [min(column) for column in zip(*found, strict=True)]
        fixed = [all_ + low - one for all_, low, one in zip(fixed, least, found[0], strict=True)]
        above = [[one - low for one, low in zip(of, least, strict=True)] for of in found]
        prices.append(above)
    return prices, fixed


def check_blocks(plan: Plan) -> None:
    """Check that a search by blocks can be carried out.

    Raises:
        RecipeError: Naming what is wrong.
    """
    if not summed_limits(plan):
        told = "blocks lose least where they are large; give parameters or flops a max"
        raise RecipeError("constraints", told)
    recipe = supernet_recipe(plan)
    check_stages(recipe, plan.trusted)
    _groups(plan, _opened(plan, recipe)[1])


def block_design(plan: Plan, run: RepeatableRun, images: int) -> Design:
    """The design that a finished supernet rates best within the limits.

    Raises:
        RecipeError: If none is within them.
    """
    session, module = _opened(plan, run.recipe)
    rated, limits = ratings(session, module, run.run_dir, images), summed_limits(plan)
    found = best_design(
        [len(values) for values in plan.space.decisions.values()],
        _groups(plan, module),
        lambda design: rated.of(plan.space.designs.architecture(design)),
        lambda design: [plan.costs(design)[name] for name in limits],
        list(limits.values()),
    )
    if found is None:
        raise RecipeError("constraints", f"no design of the supernet in {run.run_dir} is in them")
    return found


def _groups(plan: Plan, module: Blockwise) -> list[list[int]]:
    """Of each block, the decisions that are its own; widths are those of the next one too."""
    names = list(plan.space.decisions)
    places = [f"{block.student}." for block in module.blocks]
    for name in names:
        if "." in name and not name.startswith(tuple(places)):
            told = f"has no block for {name}; its blocks are {', '.join(places)}"
            raise RecipeError("supernet.recipe", told)
    own = [at for at, name in enumerate(names) if module.elastic.dimensions[name] != "width"]
    return [[at for at in own if names[at].startswith(place)] for place in places]


def _opened(plan: Plan, recipe: Recipe) -> tuple[Session, Blockwise]:
    with quiet_lightning():
        session = Session(last_stage(recipe), plan.folder, plan.trusted)
    module: Any = session.module
    if not isinstance(module, Blockwise):
        told = f"needs distill.modules.Blockwise, has {type(module).__name__}"
        raise RecipeError("supernet.recipe", told)
    return session, module
