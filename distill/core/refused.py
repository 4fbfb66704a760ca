"""What no recipe may name, though it is part of an allowed package.

Networks, losses, optimizers, schedules, callbacks and loggers are none of it: these modules load,
compile, trace, download or start things.
"""

_OF_TORCH = (
    "ao.ns",
    "ao.pruning",
    "ao.quantization",
    "backends",
    "classes",
    "compiler",
    "contrib",
    "cpu",
    "cuda",
    "distributed",
    "export",
    "func",
    "futures",
    "fx",
    "hub",
    "jit",
    "library",
    "monitor",
    "mtia",
    "multiprocessing",
    "nativert",
    "onnx",
    "ops",
    "overrides",
    "package",
    "profiler",
    "quantization",
    "random",
    "serialization",
    "storage",
    "testing",
    "xpu",
)
_OF_TORCH_UTILS = (
    "backend_registration",
    "backcompat",
    "benchmark",
    "bottleneck",
    "bundled_inputs",
    "checkpoint",
    "collect_env",
    "cpp_extension",
    "dlpack",
    "file_baton",
    "flop_counter",
    "hipify",
    "jit",
    "mkldnn",
    "mobile_optimizer",
    "model_dump",
    "model_zoo",
    "serialization",
    "tensorboard",
    "throughput_benchmark",
    "viz",
)
MODULES = (
    *(f"torch.{name}" for name in _OF_TORCH),
    *(f"torch.utils.{name}" for name in _OF_TORCH_UTILS),
    *("torchvision.datasets.utils", "torchvision.extension", "torchvision.io"),
    "torchvision.models.feature_extraction",
    *("timm.data", "timm.models.features", "timm.utils"),
    *("torchmetrics.audio", "torchmetrics.functional", "torchmetrics.multimodal"),
    *("torchmetrics.text", "torchmetrics.utilities"),
    *("pytorch_lightning.demos", "pytorch_lightning.serve"),
    *("pytorch_lightning.strategies.launchers", "pytorch_lightning.trainer"),
    *("pytorch_lightning.tuner", "pytorch_lightning.utilities"),
    *("lightning_fabric.cli", "lightning_fabric.strategies.launchers"),
    "lightning_fabric.utilities",
    *("distill.bench.processes", "distill.bench.runner", "distill.bench.sweep.runner"),
    *("distill.cli", "distill.report", "distill.runs", "distill.tools"),
)
OBJECTS = (
    "pytorch_lightning.callbacks.lambda_function.LambdaCallback",
    "pytorch_lightning.cli.LightningArgumentParser",
    "pytorch_lightning.cli.LightningCLI",
    "pytorch_lightning.cli.SaveConfigCallback",
    "torch.compile",
    "torch.load",
    "torch.save",
)
ARGUMENTS = {
    "timm": ("cache_dir", "checkpoint_path", "pretrained_cfg", "pretrained_cfg_overlay"),
}
"""By package: arguments of its functions and classes that name files and where to fetch them."""


def is_refused(path: str) -> bool:
    """Whether a dotted path is, or leads through, something refused or private.

    Example:
        >>> is_refused("torch.hub.load"), is_refused("torch.nn.ReLU")
        (True, False)
    """
    parts = path.split(".")
    starts = {".".join(parts[: place + 1]) for place in range(len(parts))}
    return bool(starts & {*MODULES, *OBJECTS}) or any(part.startswith("__") for part in parts)


def is_private(path: str) -> bool:
    """Whether a part of a dotted path is private.

    Example:
        >>> is_private("torch._dynamo.optimize"), is_private("torch.nn.ReLU")
        (True, False)
    """
    return any(part.startswith("_") for part in path.split("."))
