"""A network that is used but never trained, saved, copied or changed."""

import hashlib
from typing import Literal

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

TeacherMode = Literal["eval", "batch_statistics"]


class Frozen:
    """Holds a network outside its owner's module tree, in a declared mode.

    So the owner's ``parameters()``, ``state_dict()``, ``train()`` and weight averages do not see
    it: it is in no optimizer and in no checkpoint, and no epoch start flips it into train mode.

    Args:
        network: The teacher.
        mode: ``eval``: dropout off, batch norm with its running statistics. ``batch_statistics``:
            dropout off, batch norm with the statistics of the batch (what OverHaul's and SSLD's
            authors use), its running statistics left as they are.

    Raises:
        ValueError: If the mode is unknown.
    """

    def __init__(self, network: nn.Module, mode: TeacherMode = "eval") -> None:
        if mode not in ("eval", "batch_statistics"):
            raise ValueError(f"teacher_mode must be eval or batch_statistics, got {mode!r}")
        self.network = network.eval().requires_grad_(False)
        self.mode = mode
        if mode == "batch_statistics":
            for norm in self._norms():
                norm.train()
                # Without tracking, train mode uses the batch and leaves every buffer alone.
                norm.track_running_stats = False

    def __deepcopy__(self, memo: dict[int, object]) -> "Frozen":
        """The same object: a frozen network needs no second copy."""
        return self

    def check_mode(self) -> None:
        """Check that nobody switched the network out of its declared mode.

        Raises:
            RuntimeError: Naming the module that is in another mode.
        """
        batch = self.mode == "batch_statistics"
        for name, module in self.network.named_modules():
            if module.training != (batch and isinstance(module, _BatchNorm)):
                raise RuntimeError(
                    f"teacher module {name or '(root)'} left its declared mode {self.mode!r}"
                )

    def digest(self) -> str:
        """A hash of every parameter and buffer, to show that training changed none."""
        state = hashlib.sha256()
        for name, tensor in self.network.state_dict().items():
            state.update(name.encode())
            state.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
        return state.hexdigest()

    def _norms(self) -> list[_BatchNorm]:
        return [m for m in self.network.modules() if isinstance(m, _BatchNorm)]
