"""Blocks that learn the teacher's alone: Li et al., DNA, CVPR 2020, arXiv 1911.13053."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any, Literal, cast

import torch
import torch.nn.functional as F
from pytorch_lightning.cli import LRSchedulerCallable, OptimizerCallable
from torch import Tensor, nn

from distill.core.batch import Batch
from distill.core.errors import RecipeError
from distill.modules.distillation import Distillation
from distill.modules.loaders import data_of
from distill.modules.networks import Normalization, dry, dry_run_batch
from distill.modules.objective import Objective, reseed_step
from distill.modules.optimization import Decay
from distill.modules.subnets import Architecture, Dimension, Elastic, Sandwich, Subnets
from distill.modules.teacher import TeacherMode
from distill.wiring.term import PlacedTerm, Term
from distill.wiring.wiring import Context

CONNECTORS = "connectors.safetensors"


@dataclass(frozen=True)
class Block:
    """Layers of the student that stand for those of the teacher.

    Attributes:
        student: Path of what gives the block's maps and, of all but the first block, takes its
            input.
        teacher: Path of what gives the teacher's maps of the same height and width.
        student_channels: Of the student's maps, at most.
        teacher_channels: Of the teacher's.

    Raises:
        ValueError: If there are no channels.
    """

    student: str
    teacher: str
    student_channels: int
    teacher_channels: int

    def __post_init__(self) -> None:
        if min(self.student_channels, self.teacher_channels) < 1:
            raise ValueError(f"a block needs channels, got {self}")


class Blockwise(Distillation):
    """Trains the blocks of a network that holds many, each alone under the teacher.

    Every block but the first is given the teacher's maps of the block before it, and is to give the
    teacher's own, see :class:`BlockLoss`; so none depends on another, and one pass trains all. Each
    step trains some parts of the network, whose gradients are added and divided by their number.
    What a part's blocks lose is what it is rated by. The classifier is not trained, so
    the figures of a run's validation say nothing.

    Args:
        teacher: The network that gives the maps.
        student: The network that is trained, such as ``students.elastic_chain``.
        blocks: From the image on.
        subnets: Which parts each step trains.
        elastic: The dimensions in which parts differ from the largest; None: all.
        optimizer: See :class:`~distill.modules.Distillation`, as for what follows.
        scheduler: Makes the learning-rate schedule from the optimizer; None keeps the rate.
        scheduler_interval: Whether the schedule counts epochs or steps.
        teacher_mode: ``eval``, or ``batch_statistics``.
        normalization: By ``student`` or ``teacher``, where not the network's own or the data's.
        decay: Which parameters the optimizer's weight decay acts on: ``all``, or ``weights``.
        cache: Where to keep what the blocks read from the teacher.

    Raises:
        ValueError: If the student is not elastic, or there is no block.
        RecipeError: In ``setup``, if blocks do not fit the networks.
    """

    def __init__(  # noqa: PLR0913 - these are a recipe's keys, given by name
        self,
        teacher: nn.Module,
        student: nn.Module,
        blocks: list[Block],
        subnets: Subnets = Subnets(),  # noqa: B008 - it is frozen
        elastic: list[Dimension] | None = None,
        optimizer: OptimizerCallable | None = None,
        scheduler: LRSchedulerCallable | None = None,
        scheduler_interval: Literal["epoch", "step"] = "epoch",
        teacher_mode: TeacherMode = "eval",
        normalization: dict[Literal["student", "teacher"], Normalization] | None = None,
        decay: Decay = "all",
        cache: str | None = None,
    ) -> None:
        plain: dict[str, Any] = {"optimizer": optimizer, "scheduler": scheduler}
        plain |= {"scheduler_interval": scheduler_interval, "teacher_mode": teacher_mode}
        plain |= {"normalization": normalization, "decay": decay, "cache": cache}
        terms = _terms(blocks)
        super().__init__(teacher, student, terms, **plain)
        self.blocks = blocks
        self.sandwich = Sandwich(student, subnets, elastic)
        placed = enumerate(terms.items())
        self.objective = Objective(
            {name: PlacedTerm(f"model.blocks.{at}", term) for at, (name, term) in placed},
            ["student"],
        )

    @property
    def elastic(self) -> Elastic:
        """The student, as what chooses among its parts knows it."""
        return cast(Elastic, self.student)

    @property
    def saved_networks(self) -> dict[str, nn.Module]:
        """What a finished run leaves beside the student: the connectors of its blocks."""
        return {**super().saved_networks, CONNECTORS: self.losses}

    def setup(self, stage: str) -> None:
        """Check networks, blocks and data with the largest part and two samples."""
        self.elastic.choose(self.sandwich.largest)
        super().setup(stage)
        if stage == "fit":
            with dry(self):
                batch = dry_run_batch(data_of(self, stage), self.device)
                self.block_losses(batch, self.teacher_maps(batch), self.sandwich.largest)

    def training_step(self, given: Batch | Sequence[Tensor], batch_idx: int) -> Tensor:
        """All parts of the step see the same view; the sum over blocks of means over parts."""
        batch = self.evaluation.batch(self, given)
        known = self.teacher_context(batch)
        step = self.trainer.fit_loop.epoch_loop.total_batch_idx
        found: dict[str, list[Tensor]] = {}
        for number, architecture in enumerate(self.sandwich.of_step(self.seed, step)):
            reseed_step(self, self.seed, batch, f"subnet {number}")
            for name, value in self.block_losses(batch, known, architecture).items():
                found.setdefault(name, []).append(value)
        self.elastic.choose(self.sandwich.largest)
        return self.objective.total(self, {n: torch.stack(e).mean() for n, e in found.items()}, {})

    def block_losses(
        self, batch: Batch, known: Context, architecture: Architecture
    ) -> dict[str, Tensor]:
        """What each block of a part loses on its own, by name, from the image on.

        Args:
            batch: Images as they are.
            known: The teacher's maps, by key.
            architecture: The part, which is chosen from then on.
        """
        self.elastic.choose(architecture)
        with self._fed(known):
            self.networks.outputs("student", batch.image, training=True)
        wiring = self.objective.wiring
        return dict(wiring.evaluate(wiring.context(batch, {}, known)))

    @torch.no_grad()
    def teacher_maps(self, batch: Batch) -> Context:
        """The teacher's maps for images as they are, by key."""
        outputs = self.networks.outputs("teacher", batch.image)
        return self.objective.wiring.outputs_of("teacher", outputs)

    @contextmanager
    def _fed(self, known: Context) -> Iterator[None]:
        """Give every block but the first the teacher's maps of the block before it."""
        handles = []
        for at, (before, block) in enumerate(pairwise(self.blocks), 1):
            ending = cast(BlockLoss, self.losses[f"block{at - 1}"])
            hook = partial(_fed, f"model.blocks.{at}", ending, known[f"teacher@{before.teacher}"])
            place = self.student.get_submodule(block.student)
            handles.append(place.register_forward_pre_hook(hook))
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()


class BlockLoss(nn.Module):
    """Holds a block's maps against the teacher's: mean squared error over the teacher's variance.

    A 1x1 convolution takes the block's maps to the teacher's channels, and another one the
    teacher's to what the next block is given. Of both the first channels are used where a part
    has fewer. They belong to no design.

    Args:
        block: Whose maps they are.
        last: Whether no other block follows.

    Example:
        >>> loss = BlockLoss(Block("stages.0", "layer1", 2, 3), last=True)
        >>> loss(torch.ones(4, 1, 2, 2), torch.randn(4, 3, 2, 2)).shape
        torch.Size([])
    """

    def __init__(self, block: Block, last: bool) -> None:
        super().__init__()
        student, teacher = block.student_channels, block.teacher_channels
        self.leave = nn.Conv2d(student, teacher, 1)
        self.enter = None if last else nn.Conv2d(teacher, student, 1)

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        """The loss of maps (b, c, h, w) against the teacher's (b, c', h, w).

        Raises:
            ValueError: If the heights and widths, or the teacher's channels, are others.
        """
        weight = self.leave.weight
        if student.shape[1] > weight.shape[1] or teacher.shape[1] != weight.shape[0]:
            told = f"at most {weight.shape[1]} student_channels and {weight.shape[0]} of the"
            raise ValueError(f"needs {told} teacher's")
        if student.shape[2:] != teacher.shape[2:]:
            raise ValueError("needs maps of equal height and width")
        maps = F.conv2d(student, weight[:, : student.shape[1]], self.leave.bias)
        spread = teacher.var(correction=0).clamp_min(torch.finfo(teacher.dtype).tiny)
        return (maps - teacher).square().mean() / spread

    def given(self, teacher: Tensor, shape: torch.Size) -> Tensor:
        """What the next block is given instead of maps of a shape (b, c, h, w).

        Raises:
            ValueError: If it is no shape of what this block gives.
        """
        weight, bias = cast(nn.Conv2d, self.enter).weight, cast(nn.Conv2d, self.enter).bias
        channels = shape[1]
        if channels > len(weight) or shape[2:] != teacher.shape[2:]:
            told = f"takes {tuple(shape[1:])}, the block before it gives at most {len(weight)}"
            raise ValueError(f"{told} channels of {tuple(teacher.shape[2:])}")
        part = None if bias is None else bias[:channels]
        return F.conv2d(teacher.to(weight.dtype), weight[:channels], part)


def _terms(blocks: Sequence[Block]) -> dict[str, Term]:
    if not blocks:
        raise ValueError("blocks must be some, got none")
    terms = {}
    for at, block in enumerate(blocks):
        keys: dict[str, str | list[str]] = {"student": f"student@{block.student}"}
        keys["teacher"] = f"teacher@{block.teacher}"
        terms[f"block{at}"] = Term(BlockLoss(block, at == len(blocks) - 1), inputs=keys)
    return terms


def _fed(
    key: str, ending: BlockLoss, teacher: Tensor, module: nn.Module, given: tuple[Tensor, ...]
) -> tuple[Tensor, ...]:
    maps, *others = given
    try:
        return (ending.given(teacher, maps.shape).to(maps.dtype), *others)
    except ValueError as error:
        raise RecipeError(key, str(error)) from error
