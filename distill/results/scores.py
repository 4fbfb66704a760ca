"""The headline figures in a ``result.json``, whatever the task and the version that wrote it."""

from collections.abc import Mapping
from typing import Any

OLD_METRIC = "top1"
"""The headline of runs from before tasks had names: accuracy, of images or of whole lines."""
_LABELS = {OLD_METRIC: "accuracy", "map": "mAP", "miou": "mIoU"}


def metric_of(result: Mapping[str, Any]) -> str:
    """The name of the headline figure.

    Example:
        >>> metric_of({"metric": "mAP"})
        'mAP'
    """
    return str(result.get("metric", OLD_METRIC))


def label_of(result: Mapping[str, Any]) -> str:
    """What the headline figure is called in a sentence.

    Example:
        >>> label_of({"metric": "miou"})
        'mIoU'
    """
    metric = metric_of(result)
    return _LABELS.get(metric, metric)


def scores_of(result: Mapping[str, Any], network: str) -> dict[str, Any]:
    """A network's headline figure in percent, by ``val`` and ``test``, ``last`` and ``best`` each.

    Args:
        result: The content of a ``result.json``.
        network: ``student`` or ``teacher``.

    Returns:
        The part of the result itself; an empty one where the network is not there.
    """
    found = result.get(network)
    scores: dict[str, Any] = {} if found is None else found.setdefault(metric_of(result), {})
    return scores
