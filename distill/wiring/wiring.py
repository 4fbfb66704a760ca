"""The wiring between networks and the terms of an objective, checked before training."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from distill.core.batch import Batch
from distill.core.echo import short
from distill.core.errors import RecipeError
from distill.core.outputs import Outputs, by_name
from distill.wiring.gather import gathered
from distill.wiring.keys import BATCH, Key, Sources, split_key
from distill.wiring.regions import Places, no_rows, share_of_mean
from distill.wiring.tap import Taps
from distill.wiring.term import PlacedTerm, Term, check_arguments

Context = dict[str, Tensor]


class Wiring:
    """Captures what terms need from networks by any name, and evaluates them.

    Args:
        terms: By name.
        networks: By the name that keys know them by.
        sources: What keys may name; None: these networks' logits, and the batch's target and index.
        watched: A place where gradients are looked at, beside what the terms read.

    Raises:
        RecipeError: With the dotted key of a term whose inputs do not fit its loss, or name an
            unknown source or layer.
    """

    def __init__(
        self,
        terms: Mapping[str, PlacedTerm],
        networks: Mapping[str, nn.Module],
        sources: Sources | None = None,
        watched: str | None = None,
    ) -> None:
        self._terms, self._networks = terms, networks
        self._sources = sources or Sources(tuple(networks))
        self._keys: dict[str, Key] = {}
        for placed in terms.values():
            with _told(f"{placed.where}.inputs"):
                check_arguments(placed.term)
                self._add(placed.term.sources())
        if watched is not None:
            with _told("model.gradient_norms"):
                self._add([watched])
        self._gathered_keys = _gathered_keys(terms.values(), self._keys)
        tapped = _paths_by_network(self._keys.values())
        self._taps = {name: Taps(networks[name], paths) for name, paths in tapped.items()}

    def keys_of(self, network: str) -> list[str]:
        """What the terms read from a network."""
        of = (parts.whole for parts in self._keys.values() if parts.head == network)
        return list(dict.fromkeys(of))

    def outputs_of(self, network: str, outputs: Outputs) -> Context:
        """What the terms read from one network, by key, of the pass that gave these outputs."""
        found = self._captured(network) | _by_key(network, outputs, self._sources)
        return {key: found[key] for key in self.keys_of(network)}

    def context(
        self,
        batch: Batch,
        outputs: Mapping[str, Outputs],
        known: Mapping[str, Tensor] | None = None,
    ) -> Context:
        """Everything the terms read, by key, as the networks gave it.

        Args:
            batch: The batch that the networks have just seen.
            outputs: What they gave, by their names.
            known: Tensors by key that are known without a pass of the network they come from.

        Raises:
            ValueError: If a key names a layer that did not run, or what the batch does not have.
        """
        found: Context = {}
        for name, given in self._sources.named(outputs).items():
            found |= _by_key(name, given, self._sources)
        for name in self._taps:
            found |= self._captured(name)
        found |= known or {}
        for name, attribute in self._sources.batch.items():
            found[name] = vars(batch)[attribute]
        if self._sources.places is not None:
            found |= _of_places(self._sources.places, self._keys.values(), batch, outputs)
        for key in self._keys.values():
            if found.get(key.whole) is None:
                missing = f"{key.whole} is not there"
                raise ValueError(f"{missing}: its layer did not run, or the data lack it")
            if key.region and self._sources.places is not None:
                region = found[key.region]
                found[str(key)] = self._sources.places.rows_at(found[key.whole], region)
        return {key: found[key] for key in self._keys}

    def evaluate(self, context: Context, names: Collection[str] | None = None) -> Context:
        """The value of each term, unweighted, computed outside autocast in at least float32.

        Args:
            context: What the terms read.
            names: Those to evaluate; None: all.
        """
        context = {key: _at_least_float32(value) for key, value in context.items()}
        device = next(iter(context.values())).device.type
        with torch.autocast(device, enabled=False):
            whole = {key: gathered(context[key]) for key in self._gathered_keys}
            return {
                name: _value(placed, whole if placed.term.batch == "gathered" else context)
                for name, placed in self._terms.items()
                if names is None or name in names
            }

    def dry_run(
        self,
        batch: Batch,
        outputs: Mapping[str, Outputs],
        stored: Callable[[str, Tensor], Tensor] | None = None,
    ) -> dict[str, tuple[int, ...]]:
        """After a pass of a few samples, try every term once.

        Args:
            batch: The samples.
            outputs: What the networks gave for them.
            stored: Gives for a teacher's key and tensor what a cache would give instead.

        Returns:
            The shape of every tapped tensor, by key.

        Raises:
            RecipeError: If a term cannot take its inputs, with all their shapes in one line.
        """
        with _told("model.losses"):
            for taps in self._taps.values():
                taps.find_in_place()
                taps.check_shapes()
        known = _as_stored(self, outputs, stored)
        with _told("model.losses"):
            context = self.context(batch, outputs, known)
        for placed in self._terms.values():
            _try(placed, {key: _at_least_float32(value) for key, value in context.items()})
        return {key: tuple(context[key].shape) for key, k in self._keys.items() if k.mark == "@"}

    def clear(self) -> None:
        """Let go of what a pass captured that no term will read."""
        for taps in self._taps.values():
            taps.take()

    def remove(self) -> None:
        """Take all hooks off the networks."""
        for taps in self._taps.values():
            taps.remove()

    def _add(self, keys: Collection[str]) -> None:
        for key in keys:
            found = self._sources.read(key)
            if found.mark == "@":
                try:
                    Taps(self._networks[found.head], [found.rest]).remove()
                except ValueError as error:
                    raise ValueError(f"{found.head}: {error}") from error
            self._keys[key] = found

    def _captured(self, network: str) -> Context:
        taps = self._taps.get(network)
        return {f"{network}@{path}": v for path, v in taps.take().items()} if taps else {}


def reaches_others(wiring: Wiring, terms: Mapping[str, PlacedTerm], context: Context) -> bool:
    """Whether any term has a gradient to a tensor of another network than it trains.

    Args:
        wiring: Of the terms.
        terms: By name, each named ``<network that it trains>/<anything>``.
        context: What a pass gave.
    """
    for name, placed in terms.items():
        own = name.split("/")[0]
        others = [key for key in placed.term.sources() if split_key(key).head not in (own, BATCH)]
        with torch.enable_grad():
            asked = {
                key: value.detach().requires_grad_() if key in others else value
                for key, value in context.items()
            }
            value = wiring.evaluate(asked, [name])[name]
            places = [asked[key] for key in others]
            if places and value.requires_grad:
                found = torch.autograd.grad(value, places, allow_unused=True)
                if any(gradient is not None for gradient in found):
                    return True
    return False


@contextmanager
def _told(where: str) -> Iterator[None]:
    """Errors of values under the dotted key of their place in the recipe."""
    try:
        yield
    except ValueError as error:
        raise RecipeError(where, str(error)) from error


def _paths_by_network(keys: Iterable[Key]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for key in keys:
        if key.mark == "@":
            found.setdefault(key.head, []).append(key.rest)
    return found


def _gathered_keys(terms: Iterable[PlacedTerm], keys: Mapping[str, Key]) -> list[str]:
    """What terms read from all processes: rows of one number, as only whole tensors have."""
    wide = [placed for placed in terms if placed.term.batch == "gathered"]
    for placed in wide:
        if odd := [key for key in placed.term.sources() if keys[key].region]:
            problem = f"gathered needs as many rows in each process, {odd[0]} has any number"
            raise RecipeError(f"{placed.where}.batch", problem)
    return list(dict.fromkeys(key for placed in wide for key in placed.term.sources()))


def _of_places(
    places: Places, keys: Collection[Key], batch: Batch, outputs: Mapping[str, Outputs]
) -> Context:
    """What a task makes of the labels for these keys."""
    wanted = {key.region for key in keys if key.region}
    wanted |= {key.whole for key in keys if key.whole in places.made}
    return places.make(batch, outputs, wanted) if wanted else {}


def _rows_of(term: Term, context: Context) -> Tensor | None:
    """A tensor of rows of a region that a term reads; None: it reads whole tensors alone."""
    keys = (key for key in term.sources() if split_key(key).region)
    return next((context[key] for key in keys), None)


def _by_key(network: str, outputs: Outputs, sources: Sources) -> Context:
    found = by_name(outputs, alone=sources.outputs[0])
    return {f"{network}.{name}": value for name, value in found.items()}


def _value(placed: PlacedTerm, context: Context) -> Tensor:
    def tensor(key: str) -> Tensor:
        constant = placed.trains is not None and split_key(key).head not in (placed.trains, BATCH)
        return context[key].detach() if constant else context[key]

    arguments = {
        name: tensor(keys) if isinstance(keys, str) else [tensor(key) for key in keys]
        for name, keys in placed.term.inputs.items()
    }
    rows = _rows_of(placed.term, context)
    if rows is None:
        whole: Tensor = placed.term.loss(**arguments)
        return whole
    share = share_of_mean(rows)
    if not len(rows):
        given = (each for v in arguments.values() for each in (v if isinstance(v, list) else [v]))
        return no_rows(placed.term.loss, list(given))
    value: Tensor = placed.term.loss(**arguments)
    return value * share


def _as_stored(
    wiring: Wiring, outputs: Mapping[str, Outputs], stored: Callable[[str, Tensor], Tensor] | None
) -> Context:
    """What the terms read from the teacher, as a cache would give it; nothing without one."""
    if stored is None or "teacher" not in outputs:
        return {}
    with _told("model.cache"):
        given = wiring.outputs_of("teacher", outputs["teacher"])
        return {key: stored(key, value) for key, value in given.items()}


def _try(placed: PlacedTerm, context: Context) -> None:
    """Evaluate a term, and say what does not fit in one line."""
    try:
        value = _value(placed, context)
    except Exception as error:  # of losses of any kind
        keys = placed.term.sources()
        shapes = ", ".join(f"{key} {tuple(context[key].shape)}" for key in keys)
        problem = short(str(error) or type(error).__name__, 300)
        raise RecipeError(placed.where, f"{shapes}: {problem}") from error
    if value.shape != ():
        raise RecipeError(placed.where, f"must be a scalar, is {tuple(value.shape)}")


def _at_least_float32(value: Tensor) -> Tensor:
    half = value.is_floating_point() and value.itemsize < torch.float32.itemsize
    return value.float() if half else value
