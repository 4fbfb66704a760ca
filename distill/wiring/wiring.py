"""The wiring between two networks and the terms of an objective, checked before training."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from distill.core.batch import Batch
from distill.core.errors import RecipeError
from distill.wiring.gather import gathered
from distill.wiring.tap import Taps
from distill.wiring.term import NETWORKS, TapKey, Term, check_arguments, parse_key

Context = dict[str, Tensor]


class Wiring:
    """Captures what the terms need from both networks, and evaluates them.

    Args:
        terms: By name.
        student: The trained network.
        teacher: The frozen network, or None where no term needs one.
        watched: A place of the student where gradients are looked at, ``student.logits`` or
            ``student@PATH``, beside what the terms read.

    Raises:
        RecipeError: With the dotted key of a term whose inputs do not fit its loss, or name an
            unknown source or layer.
    """

    def __init__(
        self,
        terms: Mapping[str, Term],
        student: nn.Module,
        teacher: nn.Module | None,
        watched: str | None = None,
    ) -> None:
        self._terms = terms
        self._networks = {"student": student, "teacher": teacher}
        self._keys = dict.fromkeys(key for term in terms.values() for key in term.sources())
        wide = [term for term in terms.values() if term.batch == "gathered"]
        self._gathered_keys = dict.fromkeys(key for term in wide for key in term.sources())
        for name, term in terms.items():
            self._check_term(f"model.losses.{name}", term)
        if watched is not None:
            self._check_watched(watched)
            self._keys[watched] = None
        self._taps = {
            name: Taps(network, (tap.path for tap in self._tap_keys() if tap.network == name))
            for name, network in self._networks.items()
            if network is not None
        }

    @property
    def teacher_keys(self) -> list[str]:
        """What the terms read from the teacher."""
        return [key for key in self._keys if key.startswith("teacher")]

    def teacher_outputs(self, logits: Tensor) -> Context:
        """What the terms read from the teacher, by key, of the pass that gave these logits."""
        taken = self._taps["teacher"].take()
        found = {"teacher.logits": logits} | {f"teacher@{p}": v for p, v in taken.items()}
        return {key: found[key] for key in self.teacher_keys}

    def context(
        self, batch: Batch, logits: Mapping[str, Tensor], known: Mapping[str, Tensor] | None = None
    ) -> Context:
        """Everything the terms read, by key, as the networks gave it.

        Args:
            batch: The batch that the networks have just seen.
            logits: Their outputs (b, k), by ``student`` and ``teacher``.
            known: Tensors by key that are known without a pass of the network they come from.
        """
        found: Context = {"batch.target": batch.target, "batch.index": batch.index}
        found |= {f"{name}.logits": value for name, value in logits.items()}
        for name, taps in self._taps.items():
            found |= {f"{name}@{path}": value for path, value in taps.take().items()}
        found |= known or {}
        return {key: found[key] for key in self._keys}

    def evaluate(self, context: Context) -> dict[str, Tensor]:
        """The value of each term, unweighted, computed outside autocast in at least float32."""
        context = {key: _at_least_float32(value) for key, value in context.items()}
        device = next(iter(context.values())).device.type
        with torch.autocast(device, enabled=False):
            whole = {key: gathered(context[key]) for key in self._gathered_keys}
            contexts = {"local": context, "gathered": whole}
            return {
                name: self._value(term, contexts[term.batch]) for name, term in self._terms.items()
            }

    def dry_pass(
        self,
        batch: Batch,
        logits: Mapping[str, Tensor],
        stored: Callable[[str, Tensor], Tensor] | None = None,
    ) -> dict[str, tuple[int, ...]]:
        """After a pass of a few samples, try every term once.

        Args:
            batch: The samples.
            logits: The outputs of both networks for them.
            stored: Gives for a teacher's key and tensor what a cache would give instead.

        Returns:
            The shape of every tapped tensor, by key.

        Raises:
            RecipeError: If a term cannot take its inputs, with all their shapes in one line.
        """
        for taps in self._taps.values():
            taps.find_in_place()
        context = self.context(batch, logits)
        if stored is not None:
            try:
                context |= {key: stored(key, context[key]) for key in self.teacher_keys}
            except ValueError as error:
                raise RecipeError("model.cache", str(error)) from error
        context = {key: _at_least_float32(value) for key, value in context.items()}
        for name, term in self._terms.items():
            try:
                value = self._value(term, context)
            except (ValueError, RuntimeError, IndexError, TypeError) as error:
                shapes = ", ".join(f"{key} {tuple(context[key].shape)}" for key in term.sources())
                problem = str(error).strip().splitlines()[0]
                raise RecipeError(f"model.losses.{name}", f"{shapes}: {problem}") from error
            if value.shape != ():
                shape = tuple(value.shape)
                raise RecipeError(f"model.losses.{name}", f"must be a scalar, is {shape}")
        return {key: tuple(value.shape) for key, value in context.items() if parse_key(key)}

    def use_teacher_batchnorms(self) -> None:
        """Tell each loss that asks for it which batch norm its teacher input comes out of."""
        for term in self._terms.values():
            use = getattr(term.loss, "use_teacher_batchnorm", None)
            source = term.inputs.get("teacher")
            tap = parse_key(source) if isinstance(source, str) else None
            if use is None or tap is None or tap.path.endswith(":input"):
                continue
            module = _network(self._networks, tap.network).get_submodule(tap.path.split(":")[0])
            if isinstance(module, _BatchNorm):
                use(module)

    def forget(self) -> None:
        """Let go of what a pass captured that no term will read."""
        for taps in self._taps.values():
            taps.take()

    def remove(self) -> None:
        """Take all hooks off the networks."""
        for taps in self._taps.values():
            taps.remove()

    def _check_term(self, key: str, term: Term) -> None:
        try:
            check_arguments(term)
            taps = [parse_key(source) for source in term.sources()]
        except ValueError as error:
            raise RecipeError(f"{key}.inputs", str(error)) from error
        uses_teacher = any(source.startswith(NETWORKS[1]) for source in term.sources())
        if uses_teacher and self._networks["teacher"] is None:
            raise RecipeError(f"{key}.inputs", "reads from the teacher, but model.teacher is null")
        for tap in filter(None, taps):
            self._check_path(f"{key}.inputs", tap)

    def _check_watched(self, key: str) -> None:
        where = "model.gradient_norms"
        if key != "student.logits" and not key.startswith("student@"):
            raise RecipeError(where, f"needs student.logits or student@PATH, got {key!r}")
        tap = parse_key(key)
        if tap is not None:
            self._check_path(where, tap)

    def _check_path(self, where: str, tap: TapKey) -> None:
        try:
            Taps(_network(self._networks, tap.network), [tap.path]).remove()
        except ValueError as error:
            raise RecipeError(where, f"{tap.network}: {error}") from error

    def _tap_keys(self) -> list[TapKey]:
        return [tap for key in self._keys if (tap := parse_key(key)) is not None]

    def _value(self, term: Term, context: Context) -> Tensor:
        arguments = {
            name: context[source] if isinstance(source, str) else [context[s] for s in source]
            for name, source in term.inputs.items()
        }
        value: Tensor = term.loss(**arguments)
        return value


def _at_least_float32(value: Tensor) -> Tensor:
    half = value.is_floating_point() and value.itemsize < torch.float32.itemsize
    return value.float() if half else value


def _network(networks: Mapping[str, nn.Module | None], name: str) -> nn.Module:
    network = networks[name]
    if network is None:
        raise ValueError(f"there is no {name}")
    return network
