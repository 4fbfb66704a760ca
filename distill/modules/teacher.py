"""Teachers as modules hold them: used, but in no optimizer and no module tree."""

import copy
import hashlib
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Literal, Protocol

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

TeacherMode = Literal["eval", "batch_statistics"]


class Teacher(Protocol):
    """A network that gives targets.

    Attributes:
        network: The network, in its declared mode.
        mode: ``eval``, or ``batch_statistics``.
        changes: Whether it changes in training: then it is saved, and scored in each validation.
    """

    network: nn.Module
    mode: TeacherMode
    changes: bool

    def start(self) -> None:
        """Training begins."""

    def check_mode(self) -> None:
        """Check that nobody switched the network out of its declared mode."""

    def after_step(self, student: nn.Module, step: int) -> None:
        """The student has taken a step, the ``step``-th."""

    def finish(self) -> None:
        """Training has ended."""

    def judged(self) -> AbstractContextManager[None]:
        """Within, it gives what it is judged by: of an image alone, whatever its mode."""


class Frozen:
    """A teacher that is never trained, saved, copied or changed.

    It is held outside its owner's module tree, so the owner's ``parameters()``, ``state_dict()``,
    ``train()`` and weight averages do not see it, and no epoch start flips it into train mode.

    Args:
        network: The teacher.
        mode: ``eval``: dropout off, batch norm with its running statistics. ``batch_statistics``:
            dropout off, batch norm with the statistics of the batch (what OverHaul's and SSLD's
            authors use), its running statistics left as they are. It is :meth:`judged` as in
            ``eval``.

    Raises:
        ValueError: If the mode is unknown.
    """

    changes = False

    def __init__(self, network: nn.Module, mode: TeacherMode = "eval") -> None:
        if mode not in ("eval", "batch_statistics"):
            raise ValueError(f"teacher_mode must be eval or batch_statistics, got {mode!r}")
        self.network = network.eval().requires_grad_(False)
        self.mode: TeacherMode = mode
        self._digest = ""
        if mode == "batch_statistics":
            for norm in _batch_norms(self.network):
                norm.train()
                # Without tracking, train mode uses the batch and leaves every buffer alone.
                norm.track_running_stats = False

    def __deepcopy__(self, memo: dict[int, object]) -> "Frozen":
        """The same object: a frozen network needs no second copy."""
        return self

    def start(self) -> None:
        """Remember what the network is."""
        self._digest = self.digest()

    def check_mode(self) -> None:
        """Check that nobody switched the network out of its declared mode.

        Raises:
            RuntimeError: Naming the module that is in another mode.
        """
        batch = self.mode == "batch_statistics"
        for name, module in self.network.named_modules():
            if module.training != (batch and isinstance(module, _BatchNorm)):
                now = "train" if module.training else "eval"
                told = f"is in {now} mode, declared {self.mode!r}: something called .train() on it"
                raise RuntimeError(f"teacher module {name or '(root)'} {told}")

    def after_step(self, student: nn.Module, step: int) -> None:
        """Nothing: it does not change."""

    def finish(self) -> None:
        """Check that training left the network as it was.

        Raises:
            RuntimeError: If it did not.
        """
        if self.digest() != self._digest:
            raise RuntimeError("the teacher's weights or buffers changed during training")

    @contextmanager
    def judged(self) -> Iterator[None]:
        """Within, batch norm has its running statistics, whatever the mode.

        Images to evaluate come class by class: the statistics of such a batch say nothing.
        """
        norms = _batch_norms(self.network) if self.mode == "batch_statistics" else []
        for norm in norms:
            norm.eval()
        try:
            yield
        finally:
            for norm in norms:
                norm.train()

    def digest(self) -> str:
        """A hash of every parameter and buffer."""
        state = hashlib.sha256()
        for name, tensor in self.network.state_dict().items():
            state.update(name.encode())
            state.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
        return state.hexdigest()


class MovingAverage(Frozen):
    """A teacher that is the exponential moving average of the student (arXiv 1703.01780).

    After the n-th step its weights are a * own + (1 - a) * student's, running statistics of batch
    norm included, with a = min(``decay``, 1 - 1 / n): the plain mean of the student after the first
    steps, then the moving average. The authors' code counts the initial weights as one more.

    Args:
        network: A copy of the student.
        decay: At least 0 and below 1.
        mode: See :class:`Frozen`.
    """

    changes = True

    def __init__(self, network: nn.Module, decay: float, mode: TeacherMode = "eval") -> None:
        super().__init__(network, mode)
        self._decay = decay

    def __deepcopy__(self, memo: dict[int, object]) -> "MovingAverage":
        """With a network of its own: it follows the copy of the student."""
        return MovingAverage(copy.deepcopy(self.network, memo), self._decay, self.mode)

    @torch.no_grad()
    def after_step(self, student: nn.Module, step: int) -> None:
        """Move towards the student."""
        kept = min(self._decay, 1 - 1 / (step + 1))
        students: Mapping[str, Tensor] = student.state_dict()
        for name, value in self.network.state_dict().items():
            if value.is_floating_point():
                value.lerp_(students[name], 1 - kept)
            else:
                value.copy_(students[name])

    def finish(self) -> None:
        """Nothing: it was meant to change."""


@contextmanager
def frozen_running_stats(network: nn.Module) -> Iterator[None]:
    """Keep a network's running statistics as they are, in training mode too.

    Example:
        >>> norm = nn.BatchNorm1d(1)
        >>> with frozen_running_stats(norm):
        ...     _ = norm(torch.tensor([[1.0], [3.0]]))
        >>> norm.running_mean
        tensor([0.])
    """
    norms = [norm for norm in _batch_norms(network) if norm.track_running_stats]
    try:
        for norm in norms:
            norm.track_running_stats = False
        yield
    finally:
        for norm in norms:
            norm.track_running_stats = True


def _batch_norms(network: nn.Module) -> list[_BatchNorm]:
    return [module for module in network.modules() if isinstance(module, _BatchNorm)]
