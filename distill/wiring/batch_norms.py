"""Losses that ask for the batch norm that a teacher's maps come out of."""

from collections.abc import Iterable, Mapping
from typing import Protocol, runtime_checkable

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from distill.wiring.keys import split_key
from distill.wiring.term import Term


@runtime_checkable
class TakesBatchNorm(Protocol):
    """A loss that asks for the batch norm that its ``teacher`` input comes out of."""

    def use_teacher_batchnorm(self, batchnorm: nn.Module) -> None:
        """Take what it needs from there."""


def read_batch_norms(terms: Iterable[Term], networks: Mapping[str, nn.Module]) -> None:
    """Give each loss that asks for it the batch norm that its teacher input comes out of.

    Those of networks that are being trained change: ask again in each step.

    Args:
        terms: Terms whose keys name these networks.
        networks: By name.
    """
    for term in terms:
        source = term.inputs.get("teacher")
        if isinstance(term.loss, TakesBatchNorm) and isinstance(source, str):
            key = split_key(source)
            layer, _, side = key.rest.partition(":")
            if key.mark == "@" and side in ("", "output"):
                module = networks[key.head].get_submodule(layer)
                if isinstance(module, _BatchNorm):
                    term.loss.use_teacher_batchnorm(module)
