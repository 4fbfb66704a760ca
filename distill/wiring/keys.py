"""Context keys: the names by which the terms of an objective read tensors.

``NETWORK.NAME`` is an output of a network, ``NETWORK@PATH`` the output of a layer inside it,
``NETWORK@PATH:input`` that layer's first input, ``NETWORK@PATH:0`` one of several outputs, and
``batch.NAME`` a part of the batch. The networks, their outputs and the parts are those that the
module and its task declare.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from distill.core.outputs import LOGITS
from distill.core.suggest import nearest

BATCH = "batch"
CLASSIFIED: Mapping[str, str] = {"batch.target": "target", "batch.index": "index"}
"""What terms may read of a batch, and the attribute of ``Batch`` that it is."""


class Key(NamedTuple):
    """A context key, split.

    Attributes:
        head: A network's name, or ``batch``.
        mark: ``.`` before the name of an output or a part of the batch, ``@`` before a path.
        rest: What follows.
    """

    head: str
    mark: str
    rest: str

    def __str__(self) -> str:
        return "".join(self)


def split_key(key: str) -> Key:
    """Split a context key at its first ``.`` or ``@``, whatever it names.

    Example:
        >>> split_key("teacher@layer3.2.relu:input")
        Key(head='teacher', mark='@', rest='layer3.2.relu:input')
    """
    place = next((at for at, letter in enumerate(key) if letter in ".@"), len(key))
    return Key(key[:place], key[place : place + 1], key[place + 1 :])


@dataclass(frozen=True)
class Sources:
    """What the keys of a module's terms may name.

    Attributes:
        networks: Names of the networks.
        outputs: Names of what each of them gives.
        batch: Keys of parts of the batch, with the attribute of ``Batch`` behind each.
        placeholders: Names that stand for networks in a recipe, such as ``peer``; only told.
        absent: Names of networks that a recipe left out, with what to say to who reads them.
    """

    networks: tuple[str, ...]
    outputs: tuple[str, ...] = (LOGITS,)
    batch: Mapping[str, str] = field(default_factory=lambda: CLASSIFIED)
    placeholders: tuple[str, ...] = ()
    absent: Mapping[str, str] = field(default_factory=dict)

    def read(self, key: str) -> Key:
        """Read a key.

        Raises:
            ValueError: If it names nothing that is there, with the nearest key that does.

        Example:
            >>> Sources(("student", "teacher")).read("student.logits")
            Key(head='student', mark='.', rest='logits')
        """
        found = split_key(key)
        if found.head in self.absent:
            raise ValueError(f"reads from the {found.head}, but {self.absent[found.head]}")
        tapped = found.head in self.networks and found.mark == "@" and found.rest
        if tapped or key in self.batch or key in self._outputs(self.networks):
            return found
        names = (*self.placeholders, *self.networks)
        forms = (*self._outputs(names), *self.batch, *(f"{name}@PATH" for name in names))
        raise ValueError(f"unknown source {key!r}{nearest(key, forms)}; known: {', '.join(forms)}")

    def _outputs(self, names: tuple[str, ...]) -> list[str]:
        return [f"{name}.{output}" for name in names for output in self.outputs]
