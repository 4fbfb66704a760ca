"""Teachers from timm, by name."""

from pathlib import Path

from torch import nn

from students.zoo import built, check_timm_name, expected_normalization
from teachers.weights import load_exactly, read_tensors


def timm_model(
    name: str,
    pretrained: bool = True,
    num_classes: int | None = None,
    in_channels: int = 3,
    img_size: int | None = None,
    patch_size: int | None = None,
    checkpoint: str | None = None,
    new_classifier: bool = False,
) -> nn.Module:
    """Build a model of timm, with its weights by default.

    Arguments for training alone, such as ``drop_rate``, are those of ``students.timm_model``.

    Args:
        name: As in ``timm.list_models(pretrained=True)``.
        pretrained: Download timm's weights, unless there is a ``checkpoint``; the model then
            carries their ``input_normalization``.
        num_classes: Classes; None for those of timm's weights. With pretrained weights any other
            number is refused, since the classifier would be a random one, except 0, which leaves
            the classifier out and gives features (b, d).
        in_channels: Channels of an image.
        img_size: Height and width of the images, of models that are made for one size; None for
            their own.
        patch_size: Height and width of a patch, of models that have patches; None for their own.
        checkpoint: Weights of this model in a ``.safetensors`` file or a torch checkpoint, read as
            :func:`teachers.from_checkpoint` reads them, instead of a download. The model carries
            the ``input_normalization`` with which timm trains it.
        new_classifier: The checkpoint's classifier is for other classes: it is left out, and the
            model's starts at random.

    Raises:
        ValueError: If timm has no such model, with the nearest names, its weights have no
            classifier, the number of classes is not theirs, or a file does not fit.

    Example:
        >>> type(timm_model("resnet10t", pretrained=False, num_classes=10)).__name__
        'ResNet'
    """
    check_timm_name(name)
    download = pretrained and checkpoint is None
    classes = _classes(name, num_classes, download)
    if new_classifier and (checkpoint is None or classes == 0):
        raise ValueError("new_classifier needs a checkpoint whose classifier it replaces")
    sizes = {"img_size": img_size, "patch_size": patch_size}
    model = built(name, classes, download, in_channels, sizes)
    if checkpoint is not None:
        _fill(model, checkpoint, new_classifier)
        model.input_normalization = expected_normalization(model, in_channels)  # type: ignore[assignment]
    return model


def _classes(name: str, asked: int | None, download: bool) -> int:
    import timm

    config = timm.get_pretrained_cfg(name)
    own: int = config.num_classes if config else 0
    if asked is not None and asked < 0:
        raise ValueError(f"num_classes must be at least 0, got {asked}")
    if own == 0 and (asked is None or (download and asked > 0)):
        message = f"name {name!r} has weights without a classifier, so it gives no logits"
        raise ValueError(f"{message}: num_classes: 0 takes its features")
    if download and asked not in (None, 0, own):
        raise ValueError(f"num_classes must be {own} with the weights of {name}, got {asked}")
    return own if asked is None else asked


def _fill(model: nn.Module, checkpoint: str, new_classifier: bool) -> None:
    """Fill a model of timm from a file, with or without its classifier."""
    named = vars(model)["pretrained_cfg"].get("classifier") or ()
    classifiers = [named] if isinstance(named, str) else list(named)
    own = [n for n in classifiers if any(m.startswith(f"{n}.") for m in model.state_dict())]
    # A model that gives features has no place for the file's classifier.
    leave_out = classifiers if new_classifier or not own else ()
    try:
        load_exactly(model, read_tensors(Path(checkpoint)), checkpoint, leave_out=leave_out)
    except ValueError as error:
        other = not new_classifier and any(f"{name}." in str(error) for name in own)
        hint = "; new_classifier: true leaves the file's classifier out" if other else ""
        raise ValueError(f"{error}{hint}") from error
