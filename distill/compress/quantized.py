"""Makes a network one of 8, 4 or 2 bit, in place.

Esser et al., "Learned Step Size Quantization", ICLR 2020, arXiv 1902.08153; DoReFa and PACT by
name.
"""

from collections.abc import Sequence
from typing import Any, get_args

from torch import Tensor, nn

from distill.compress.conventions import Convention, input_quantizer, weight_quantizer
from distill.compress.layers import QUANTIZED, quantize_layer
from distill.compress.places import find_places
from distill.compress.quantizer import Init, Quantizer
from distill.core.suggest import nearest


def quantized(  # noqa: PLR0913 - these are a recipe's keys, given by name
    model: nn.Module,
    image: Sequence[int],
    weights: int = 8,
    activations: int = 8,
    ends: int = 8,
    sums: int | None = 8,
    init: Init = "mse",
    skip: Sequence[str] = (),
    convention: Convention = "lsq",
) -> nn.Module:
    """The same network with the same paths, whose layers round weights and inputs.

    Begin with trained weights: few bits do not train from scratch. Convolutions (2d) and linear
    layers are quantised; subclasses of them, and layers that do not run, stay in float.

    Args:
        model: The network. It is changed.
        image: Channels, height and width.
        weights: Bits of weights, 2 to 8.
        activations: Bits of what layers read, 2 to 8.
        ends: Bits of both in the first and the last layer, 2 to 8.
        sums: Bits of what sums, concatenations and means over maps read, 2 to 8; None leaves it in
            float.
        init: Where steps begin: least squared error, or as in the paper (``lsq``).
        skip: Names of modules to leave in float, with all that is in them.
        convention: How inner layers round: with learned steps (``lsq``), as ``dorefa``, or as
            ``pact``, which clips activations where it learns to and takes DoReFa's weights. Both
            forget the scale of weights, so that a batch norm must follow. Ends, sums and inputs
            below 0 are LSQ's in each.

    Raises:
        ValueError: If bits are not in 2 to 8, DoReFa's weights in 2 to 7, a name in ``skip`` is of
            no module, the convention is unknown, or the network refuses the image, is quantised
            already or has nothing to quantise.
    """
    bits_of = {"weights": weights, "activations": activations, "ends": ends, "sums": sums}
    _check(model, bits_of, init, skip)
    _check_convention(convention, weights)
    chosen = [
        name
        for name, module in model.named_modules()
        if type(module) in QUANTIZED and not _skipped(name, skip)
    ]
    places = find_places(model, image, chosen) if chosen else None
    if places is None or not places.layers:
        raise ValueError("model: it has no convolution or linear layer to quantise")
    order = list(places.layers)
    for name, signed in places.layers.items():
        end = name in (order[0], order[-1])
        bits, how = (ends, "lsq") if end else (activations, convention)
        rounded = sums is not None and name in places.rounded and bits >= sums
        layer = model.get_submodule(name)
        channels = len(layer.weight)  # type: ignore[arg-type]
        own = weight_quantizer(how, ends if end else weights, channels, init)
        quantize_layer(layer, own, None if rounded else input_quantizer(how, bits, signed, init))
    for name, signed in places.outputs.items():
        if sums is not None:
            _quantize_output(model.get_submodule(name), Quantizer(sums, signed, 0, init))
    return model


def _quantize_output(module: nn.Module, quantizer: Quantizer) -> None:
    """Round what the module gives before any tap reads it."""
    module.output_quantizer = quantizer.train(module.training)
    module.register_forward_hook(_rounded, prepend=True)


def _rounded(module: nn.Module, args: Any, output: Tensor) -> Tensor:  # noqa: ANN401
    return module.output_quantizer(output)  # type: ignore[no-any-return,operator]


def _check(model: nn.Module, bits: dict[str, int | None], init: str, skip: Sequence[str]) -> None:
    for key, value in bits.items():
        whole = isinstance(value, int) and not isinstance(value, bool)
        if not (whole and 2 <= value <= 8) and not (key == "sums" and value is None):  # type: ignore[operator]
            raise ValueError(f"{key}: bits must be a whole number from 2 to 8, got {value!r}")
    if init not in get_args(Init):
        raise ValueError(f"init: must be mse or lsq, got {init!r}")
    names = [name for name, _ in model.named_modules() if name]
    for name in skip:
        if name not in names:
            raise ValueError(f"skip: the network has no module {name!r}{nearest(name, names)}")
    if any(isinstance(module, Quantizer) for module in model.modules()):
        raise ValueError("model: it is quantised already")


def _check_convention(convention: str, weights: int) -> None:
    known = get_args(Convention)
    if convention not in known:
        told = f"must be {', '.join(known[:-1])} or {known[-1]}, got {convention!r}"
        raise ValueError(f"convention: {told}{nearest(str(convention), known)}")
    if convention != "lsq" and weights == 8:
        told = f"{convention}'s integers are odd, and those of 8 bits need 9: 2 to 7"
        raise ValueError(f"weights: {told}")


def _skipped(name: str, skip: Sequence[str]) -> bool:
    return any(name == other or name.startswith(f"{other}.") for other in skip)
