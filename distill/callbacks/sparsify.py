"""Makes a student's weights sparse while it trains.

Zhu and Gupta, "To prune, or not to prune", 2017, arXiv 1710.01878 (gradual magnitude); Zhou et al.,
"Learning N:M fine-grained structured sparse neural networks from scratch", ICLR 2021, arXiv
2102.04010 (the pattern).
"""

import re
from collections.abc import Iterable, Mapping

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import WeightAveraging
from torch import Tensor, nn

from distill.core.errors import RecipeError
from distill.core.protocols import RunModule

_ANY = "unstructured"
_PATTERN = re.compile(r"(\d+):(\d+)")


class Sparsify(pl.Callback):
    """Sets the smallest weights of the student to zero, more and more, and keeps them there.

    At step t the share of zeros is final (1 - (1 - (t - t0) / (t1 - t0))^3), between the steps t0
    and t1 of ``begin`` and ``end``. A weight that is zero stays zero: nothing but the weights is
    remembered, so a resumed run goes on exactly. Weights of convolutions and linear layers are
    chosen, the first and the last layer left dense; averages of weights are masked alike.

    The file gets smaller, that of a quantised student by zeros and bits. No runtime of a CPU gets
    faster by it.

    Args:
        final: The share of zeros among the chosen weights at the end, above 0 and below 1. A
            pattern ``N:M`` says it itself.
        begin: When it begins, as a share of the training, 0 to 1.
        end: When ``final`` is reached, as a share of the training.
        every: Steps between two rises.
        pattern: ``unstructured``, or ``N:M``: of M weights along the input channels the N largest
            stay, from ``begin`` on. Layers whose input channels M does not divide stay dense.
        scope: ``global`` ranks the weights of all layers together, ``layer`` each layer's.

    Raises:
        RecipeError: If an argument is out of its range; in ``setup``, if there is nothing to make
            sparse, a weight is all zeros or rounded to levels of which none is 0.
    """

    def __init__(
        self,
        final: float = 0.9,
        begin: float = 0.0,
        end: float = 0.5,
        every: int = 50,
        pattern: str = _ANY,
        scope: str = "global",
    ) -> None:
        if not 0 < final < 1:
            raise RecipeError("final", f"must be above 0 and below 1, got {final}")
        if not 0 <= begin <= end <= 1:
            raise RecipeError("end", f"needs 0 <= begin <= end <= 1, got {begin} and {end}")
        if every < 1:
            raise RecipeError("every", f"must be at least 1, got {every}")
        if scope not in ("global", "layer"):
            raise RecipeError("scope", f"must be global or layer, got {scope!r}")
        self._final, self._begin, self._end, self._every = final, begin, end, every
        self._pattern, self._scope = _read(pattern), scope
        self._chosen: dict[str, nn.Parameter] = {}
        self._masks: dict[str, Tensor] = {}
        self._steps = 0

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Choose the weights."""
        if stage != "fit":
            return
        student = pl_module.student if isinstance(pl_module, RunModule) else pl_module
        self._chosen = _inner_weights(student)
        if self._pattern:
            group = self._pattern[1]
            fit = {k: w for k, w in self._chosen.items() if w.shape[1] % group == 0}
            self._chosen = fit
        if not self._chosen:
            raise RecipeError("model.student", "it has no inner layer whose weights can be sparse")
        for name, weight in self._chosen.items():
            if not weight.count_nonzero():
                raise RecipeError("model.student", f"{name} is all zeros, and would stay so")
            _check_levels(student, name)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Learn how long training is."""
        steps = trainer.estimated_stepping_batches
        if steps == float("inf"):
            raise RecipeError("trainer", "Sparsify needs max_epochs or max_steps")
        self._steps = int(steps)

    def on_before_optimizer_step(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer: torch.optim.Optimizer
    ) -> None:
        """Note what is zero: momentum would move it."""
        if trainer.global_step >= round(self._begin * self._steps):
            self._masks = {name: weight != 0 for name, weight in self._chosen.items()}

    @torch.no_grad()
    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: object
    ) -> None:
        """Put zeros back after the optimizer's step, and add some where they are due."""
        if not self._masks:
            return
        for name, mask in self._masks.items():
            self._chosen[name].mul_(mask)
        self._masks = {}
        step, begin = trainer.global_step, round(self._begin * self._steps)
        end = max(round(self._end * self._steps), begin + 1)
        if self._due(step, begin, end):
            self._prune(sparsity(step, begin, end, self._final))
        for callback in trainer.callbacks:  # type: ignore[attr-defined]
            if isinstance(callback, WeightAveraging) and callback._average_model is not None:
                _mask_alike(pl_module, callback._average_model.module, self._chosen.values())

    def _due(self, step: int, begin: int, end: int) -> bool:
        """Whether zeros are added after a step; those of a pattern are added once."""
        if self._pattern:
            return step == begin + 1
        return step == end or (step < end and (step - begin) % self._every == 0)

    def _prune(self, share: float) -> None:
        if self._pattern:
            for weight in self._chosen.values():
                weight.mul_(n_of_m(weight, *self._pattern))
            return
        groups: list[Mapping[str, Tensor]] = [self._chosen]
        if self._scope == "layer":
            groups = [{name: weight} for name, weight in self._chosen.items()]
        for group in groups:
            for name, mask in smallest(group, share).items():
                self._chosen[name].mul_(mask)


def sparsity(step: int, begin: int, end: int, final: float) -> float:
    """The share of zeros that is due after a step: a cubic that rises fast and then slowly.

    Args:
        step: Steps that are done.
        begin: When it begins to rise.
        end: When it is ``final``.
        final: The last share.

    Example:
        >>> [round(sparsity(step, 0, 4, 0.8), 2) for step in (0, 2, 4, 9)]
        [0.0, 0.7, 0.8, 0.8]
    """
    left = 1.0 - min(max((step - begin) / (end - begin), 0.0), 1.0)
    return final * (1.0 - left**3)


def smallest(weights: Mapping[str, Tensor], share: float) -> dict[str, Tensor]:
    """Masks that are 0 at the smallest weights of all together; each tensor keeps its largest.

    Args:
        weights: Tensors of any shape by name.
        share: Of zeros, 0 to 1.
    """
    flat = torch.cat([weight.detach().abs().flatten() for weight in weights.values()])
    kept = torch.ones_like(flat, dtype=torch.bool)
    kept[flat.argsort(stable=True)[: round(share * len(flat))]] = False
    parts = torch.split(kept, [weight.numel() for weight in weights.values()])
    masks = {}
    for (name, weight), part in zip(weights.items(), parts, strict=True):
        part[weight.detach().abs().argmax()] = True
        masks[name] = part.reshape(weight.shape)
    return masks


def n_of_m(weight: Tensor, n: int, m: int) -> Tensor:
    """A mask of the n largest of each m weights along the input channels.

    Args:
        weight: (c_out, c_in, ...), c_in a multiple of m.
        n: How many stay.
        m: Out of how many.
    """
    moved = weight.detach().abs().movedim(1, -1)
    groups = moved.reshape(-1, m)
    kept = torch.zeros_like(groups, dtype=torch.bool)
    kept.scatter_(1, groups.argsort(dim=1, descending=True, stable=True)[:, :n], True)
    return kept.reshape(moved.shape).movedim(-1, 1)


def _read(pattern: str) -> tuple[int, int] | None:
    if pattern == _ANY:
        return None
    found = _PATTERN.fullmatch(pattern)
    n, m = (int(part) for part in found.groups()) if found else (0, 0)
    if not 0 < n < m:
        raise RecipeError("pattern", f"must be {_ANY} or N:M with 0 < N < M, got {pattern!r}")
    return n, m


def _inner_weights(student: nn.Module) -> dict[str, nn.Parameter]:
    """The weights of all convolutions and linear layers but the first and the last."""
    layers = [
        f"{name}.weight"
        for name, module in student.named_modules()
        if isinstance(module, nn.Conv2d | nn.Linear)
    ]
    return {name: student.get_parameter(name) for name in layers[1:-1]}


def _check_levels(student: nn.Module, name: str) -> None:
    rounds = getattr(student.get_submodule(name.rpartition(".")[0]), "weight_quantizer", None)
    if rounds is not None and not rounds.has_zero:
        told = f"{name} is rounded to levels without 0: convention lsq can be sparse"
        raise RecipeError("model.student", told)


def _mask_alike(module: nn.Module, average: nn.Module, chosen: Iterable[nn.Parameter]) -> None:
    """Zero in the average what is zero in the weights that it averages."""
    ours = {id(weight) for weight in chosen}
    averaged = dict(average.named_parameters())
    for name, parameter in module.named_parameters():
        if id(parameter) in ours:
            averaged[name].mul_(parameter != 0)
