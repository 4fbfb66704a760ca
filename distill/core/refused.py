"""What no recipe may name, though it is part of an allowed package.

Networks, losses, optimizers, schedules, callbacks and loggers are none of it: these modules load,
compile, trace, download or start things.
"""

MODULES = (
    *(
        "torch.ao.ns",
        "torch.ao.pruning",
        "torch.ao.quantization",
        "torch.backends",
        "torch.classes",
    ),
    *("torch.compiler", "torch.contrib", "torch.cpu", "torch.cuda", "torch.distributed"),
    *("torch.export", "torch.func", "torch.futures", "torch.fx", "torch.hub", "torch.jit"),
    *("torch.library", "torch.monitor", "torch.mtia", "torch.multiprocessing", "torch.nativert"),
    *("torch.onnx", "torch.ops", "torch.overrides", "torch.package", "torch.profiler"),
    *("torch.quantization", "torch.random", "torch.serialization", "torch.storage"),
    *("torch.testing", "torch.xpu"),
    *("torch.utils.backend_registration", "torch.utils.backcompat", "torch.utils.benchmark"),
    *("torch.utils.bottleneck", "torch.utils.bundled_inputs", "torch.utils.checkpoint"),
    *("torch.utils.collect_env", "torch.utils.cpp_extension", "torch.utils.dlpack"),
    *("torch.utils.file_baton", "torch.utils.flop_counter", "torch.utils.hipify"),
    *("torch.utils.jit", "torch.utils.mkldnn", "torch.utils.mobile_optimizer"),
    *("torch.utils.model_dump", "torch.utils.model_zoo", "torch.utils.serialization"),
    *("torch.utils.tensorboard", "torch.utils.throughput_benchmark", "torch.utils.viz"),
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
