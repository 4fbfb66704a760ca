"""Half precision only where the processor computes in it."""

import torch

from distill.recipes.build import Built

_HALF = ("bf16-mixed", "bf16-true", "bf16")


def resolve_precision(built: Built) -> str:
    """Take 32-true instead of bf16 on a CPU without bf16 units.

    There bf16 is emulated: a training step of resnet8x4 took 13 times as long as in float32 on a
    CPU with AVX2 alone. The built trainer and the configuration that is written are both changed,
    so a resumed run keeps what it began with.

    Args:
        built: What a recipe built.

    Returns:
        A line that says so, or nothing where nothing was changed.
    """
    wanted = built.trainer["precision"]
    if wanted not in _HALF or not _on_cpu(built.trainer["accelerator"]) or cpu_has_bf16():
        return ""
    built.trainer["precision"] = "32-true"
    built.config = built.config.put("trainer.precision", "32-true")
    return f"note     32-true instead of {wanted}: this CPU has no bf16 units"


def _on_cpu(accelerator: object) -> bool:
    return accelerator == "cpu" or (accelerator == "auto" and not torch.accelerator.is_available())


def cpu_has_bf16() -> bool:
    """Whether this CPU computes in bfloat16 instead of emulating it."""
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
