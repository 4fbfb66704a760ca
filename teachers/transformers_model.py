"""A vision model of Hugging Face's transformers as a teacher."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import nn

from teachers.one_output import OneOutput
from teachers.resized import Resized

Normalization = tuple[tuple[float, ...], tuple[float, ...]]
_LOGITS = "logits"
_PROCESSOR = "preprocessor_config.json"


def transformers_model(
    name_or_folder: str,
    output: str = _LOGITS,
    size: int | None = None,
    revision: str | None = None,
) -> nn.Module:
    """Read a vision model of transformers, with its weights and its images' size and normalisation.

    The weights are read from safetensors files alone, and no code that comes with them is run. Its
    layers are tapped as ``teacher@network.network.PATH``; one that gives several tensors with the
    place behind it, such as ``:0``.

    Args:
        name_or_folder: A folder that ``save_pretrained`` wrote, or a name on the hub, downloaded as
            transformers does.
        output: ``logits``, or what a model without a classifier gives: ``pooler_output`` (b, d), or
            ``last_hidden_state``.
        size: Height and width that images are resized to for it; None for those of its
            ``preprocessor_config.json``.
        revision: Of a model on the hub: a branch, a tag or a commit; only a commit cannot change.

    Raises:
        ValueError: If transformers is missing, there is no such model, it needs code of its own, it
            has no safetensors or lacks weights, or nothing says how its images are normalised.

    Example:
        >>> transformers_model("./nowhere")
        Traceback (most recent call last):
        ValueError: no such folder: ./nowhere
    """
    if name_or_folder.startswith((".", "/", "~")) and not Path(name_or_folder).is_dir():
        raise ValueError(f"no such folder: {name_or_folder}")
    if find_spec("transformers") is None:
        raise ValueError("transformers_model needs transformers: pip install 'distill[hf]'")
    with _quiet():
        processor, config = _read(name_or_folder, revision)
        normalization = _normalization(name_or_folder, processor, config)
        model = _model(name_or_folder, config, output, revision)
    model.input_normalization = normalization  # type: ignore[assignment]
    if output == _LOGITS and "LABEL_0" not in config.id2label.values():
        labels = sorted(config.id2label.items())
        model.trained_classes = tuple(label for _, label in labels)  # type: ignore[assignment]
    return Resized(OneOutput(model, output), size or _size(name_or_folder, processor)).eval()


def _read(source: str, revision: str | None) -> tuple[Mapping[str, Any], Any]:
    """The settings of a model's image processor, and its configuration; neither is run."""
    from transformers import AutoConfig  # an optional package
    from transformers.image_processing_base import ImageProcessingMixin

    local = Path(source).is_dir()
    if local and not (Path(source) / _PROCESSOR).is_file():
        message = "so nothing says how its images are normalised: AutoImageProcessor saves it"
        raise ValueError(f"{source} has no {_PROCESSOR}, {message}")
    where: dict[str, Any] = {"revision": revision, "local_files_only": local}
    try:
        processor, _ = ImageProcessingMixin.get_image_processor_dict(source, **where)
        config = AutoConfig.from_pretrained(source, trust_remote_code=False, **where)
    except Exception as error:  # of transformers, of the hub and of the network
        raise ValueError(f"{source} cannot be read: {_first_line(error)}") from error
    return processor, config


def _model(source: str, config: Any, output: str, revision: str | None) -> nn.Module:  # noqa: ANN401
    import transformers  # an optional package

    kind = transformers.AutoModelForImageClassification if output == _LOGITS else None
    try:
        model, found = (kind or transformers.AutoModel).from_pretrained(
            source,
            config=config,
            revision=revision,
            local_files_only=Path(source).is_dir(),
            trust_remote_code=False,
            use_safetensors=True,
            dtype=torch.float32,
            attn_implementation="eager",  # a file may name one that would be downloaded
            output_loading_info=True,
        )
    except Exception as error:  # of transformers, of the hub and of the network
        raise ValueError(f"{source} cannot be read: {_first_line(error)}") from error
    missing = sorted(found["missing_keys"])
    if output != "pooler_output":  # a pooler that is not asked for may be missing
        missing = [name for name in missing if output == _LOGITS or "pooler." not in name]
    if missing:
        hint = "; output: pooler_output takes its features" if output == _LOGITS else ""
        raise ValueError(
            f"{source} has no weights for {missing[0]} of {type(model).__name__}{hint}"
        )
    for part in model.modules():
        if isinstance(part, transformers.PreTrainedModel):
            # What it gives does not depend on where it lay.
            part.name_or_path = part.config.name_or_path = ""
    network: nn.Module = model
    return network


def _normalization(source: str, processor: Mapping[str, Any], config: Any) -> Normalization:  # noqa: ANN401
    """Mean and standard deviation of images in 0..1 from an image processor's settings."""
    if processor.get("rescale_offset") or processor.get("include_top"):
        raise ValueError(f"{source} normalises images otherwise than by a mean and a std")
    scale = processor.get("rescale_factor", 1 / 255) if processor.get("do_rescale", True) else 1.0
    mean: Any = processor.get("image_mean")
    std: Any = processor.get("image_std")
    if not processor.get("do_normalize", True):
        channels = getattr(config, "num_channels", 3)
        mean, std = [0.0] * channels, [1.0] * channels
    if not (_numbers(mean) and _numbers(std) and len(mean) == len(std) and min(std) > 0):
        message = "must have an image_mean and an image_std"
        raise ValueError(f"{source}: its {_PROCESSOR} {message}, got {mean} and {std}")
    unit = 255 * scale  # images in 0..1 times this are what mean and std are for
    return tuple(value / unit for value in mean), tuple(value / unit for value in std)


def _size(source: str, processor: Mapping[str, Any]) -> tuple[int, int]:
    cropped = processor.get("crop_size") if processor.get("do_center_crop") else None
    given = cropped or processor.get("size")
    if isinstance(given, int):
        return given, given
    given = given or {}
    side = given.get("shortest_edge")
    height, width = given.get("height", side), given.get("width", side)
    if not isinstance(height, int) or not isinstance(width, int):
        raise ValueError(f"size must be given: {source} does not say it in its image processor")
    return height, width


def _numbers(values: object) -> bool:
    return isinstance(values, list) and all(isinstance(value, (int, float)) for value in values)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]


@contextmanager
def _quiet() -> Iterator[None]:
    """Without transformers' bars and reports, which our own messages take the place of."""
    from transformers.utils import logging  # an optional package

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
