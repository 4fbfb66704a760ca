"""Context keys: the names by which the terms of an objective read tensors.

``NETWORK.NAME`` is an output of a network, ``NETWORK@PATH`` the output of a layer inside it,
``NETWORK@PATH:input`` that layer's first input, ``NETWORK@PATH:0`` one of several outputs, and
``batch.NAME`` a part of the batch. Where the task knows places in its images, ``KEY[REGION]`` are
the rows of a dense tensor there. The networks, their outputs, the parts of the batch and the
regions are those that the module and its task declare.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from distill.core.outputs import LOGITS, Outputs
from distill.core.suggest import nearest
from distill.wiring.regions import Places

BATCH = "batch"
CLASSIFIED: Mapping[str, str] = {"batch.target": "target", "batch.index": "index"}
"""What terms may read of a batch, and the attribute of ``Batch`` that it is."""


class Key(NamedTuple):
    """A context key, split.

    Attributes:
        head: A network's name, or ``batch``.
        mark: ``.`` before the name of an output or a part of the batch, ``@`` before a path.
        rest: What follows.
        region: The name in brackets behind it; none: the whole tensor.
    """

    head: str
    mark: str
    rest: str
    region: str = ""

    def __str__(self) -> str:
        return f"{self.whole}[{self.region}]" if self.region else self.whole

    @property
    def whole(self) -> str:
        """The key of the whole tensor."""
        return self.head + self.mark + self.rest


def split_key(key: str) -> Key:
    """Split a context key at its first ``.`` or ``@``, whatever it names.

    Example:
        >>> split_key("teacher@layer3.2.relu:input")
        Key(head='teacher', mark='@', rest='layer3.2.relu:input', region='')
        >>> split_key("student.logits[known]").region
        'known'
    """
    whole, bracket, region = key.partition("[")
    if not (bracket and region.endswith("]") and len(region) > 1):
        whole, region = key, "]"
    place = next((at for at, letter in enumerate(whole) if letter in ".@"), len(whole))
    return Key(whole[:place], whole[place : place + 1], whole[place + 1 :], region[:-1])


@dataclass(frozen=True)
class Sources:
    """What the keys of a module's terms may name.

    Attributes:
        networks: Names of the networks.
        outputs: Names of what each of them gives.
        batch: Keys of parts of the batch, with the attribute of ``Batch`` behind each.
        places: Makes further tensors from labels, and knows regions; None: there are none.
        placeholders: Names that stand for networks in a recipe, such as ``peer``; only told.
        absent: Names of networks that a recipe left out, and keys of what batches lack, with what
            to say to who reads them.
        aliases: Further names whose outputs may be read, not their layers: those of the network
            behind each, where they are not known otherwise.
    """

    networks: tuple[str, ...]
    outputs: tuple[str, ...] = (LOGITS,)
    batch: Mapping[str, str] = field(default_factory=lambda: CLASSIFIED)
    placeholders: tuple[str, ...] = ()
    absent: Mapping[str, str] = field(default_factory=dict)
    places: Places | None = None
    aliases: Mapping[str, str] = field(default_factory=dict)

    def read(self, key: str) -> Key:
        """Read a key.

        Raises:
            ValueError: If it names nothing that is there, with the nearest key that does.

        Example:
            >>> Sources(("student", "teacher")).read("student.logits")
            Key(head='student', mark='.', rest='logits', region='')
        """
        found = split_key(key)
        if key in self.absent:
            raise ValueError(f"reads {key}, but {self.absent[key]}")
        if found.head in self.absent:
            raise ValueError(f"reads from the {found.head}, but {self.absent[found.head]}")
        tapped = found.head in self.networks and found.mark == "@" and found.rest
        plain = (*self._outputs((*self.networks, *self.aliases)), *self.batch, *self.made)
        if not tapped and found.whole not in plain:
            names = (*self.placeholders, *self.networks)
            paths = (f"{name}@PATH" for name in names)
            outputs = self._outputs((*names, *self.aliases))
            forms = (*outputs, *self.batch, *self.made, *paths)
            known = f"{nearest(found.whole, forms)}; known: {', '.join(forms)}"
            raise ValueError(f"unknown source {found.whole!r}{known}")
        if found.region and found.region not in self.regions:
            if not self.regions:
                raise ValueError(f"{key!r}: the data's task has no regions")
            known = f"{nearest(found.region, self.regions)}; known: {', '.join(self.regions)}"
            raise ValueError(f"unknown region in {key!r}{known}")
        return found

    @property
    def made(self) -> tuple[str, ...]:
        """Keys of the tensors that are made from labels."""
        return self.places.made if self.places else ()

    @property
    def regions(self) -> tuple[str, ...]:
        """Names of the places that rows can be read at."""
        return self.places.regions if self.places else ()

    def named(self, outputs: Mapping[str, Outputs]) -> dict[str, Outputs]:
        """What networks gave, under all names."""
        known = {name: outputs[of] for name, of in self.aliases.items() if of in outputs}
        return {**outputs, **known}

    def _outputs(self, names: tuple[str, ...]) -> list[str]:
        return [f"{name}.{output}" for name in names for output in self.outputs]
