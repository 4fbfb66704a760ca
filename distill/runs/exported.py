"""An exported file on a run's test images, beside the student that it was made of."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from distill.core.echo import short
from distill.core.errors import RecipeError
from distill.core.outputs import LOGITS, Outputs
from distill.runs.session import Session
from distill.tasks import Tells

_KEY, _IMAGE = "--file", "image"


@torch.no_grad()
def measure_file(path: Path, session: Session) -> float:
    """The headline figure, in percent, of an exported file on the test images.

    A ``.pt2`` is refused: opening one runs what its author wrote, an ONNX file is data.

    Args:
        path: From ``distill export``: its input is ``image``, its outputs are the task's.
        session: The run that it was made of, its test images set up.

    Raises:
        RecipeError: If it is no such file, does not take the images, or onnxruntime is missing.
    """
    task, runtime = session.task, _opened(path)
    names = list(task.exported) if isinstance(task, Tells) else [LOGITS]
    _check(path, [given.name for given in runtime.get_inputs()], [_IMAGE], "takes")
    _check(path, [given.name for given in runtime.get_outputs()], names, "gives")
    figures: Any = task.evaluation(session.data)
    for batch in session.datamodule.test_dataloader():
        image = batch.image.float() / (255 if batch.image.dtype == torch.uint8 else 1)
        try:
            values = runtime.run(names, {_IMAGE: image.contiguous().numpy()})
        except Exception as error:  # the runtime's own, of images of another shape
            told = f"{path} does not take images {tuple(image.shape)}"
            raise RecipeError(_KEY, f"{told}: {short(str(error), 200)}") from error
        found = {name: torch.from_numpy(v) for name, v in zip(names, values, strict=True)}
        outputs: Outputs = found[LOGITS] if names == [LOGITS] else found
        figures.update(task.predicted(outputs), task.target(batch))
    known = figures.compute()
    return float(100 * (known[task.metric] if isinstance(known, dict) else known))


def _check(path: Path, found: list[str], needed: list[str], verb: str) -> None:
    if missing := [name for name in needed if name not in found]:
        told = f"{path} {verb} {', '.join(found)}, not {', '.join(missing)}"
        raise RecipeError(_KEY, f"{told}: not from distill export")


def _opened(path: Path) -> Any:  # noqa: ANN401 - onnxruntime's
    if path.suffix != ".onnx":
        told = "must be an ONNX file, which is data; opening another runs what its author wrote"
        raise RecipeError(_KEY, f"{told}, got {path}")
    if not path.is_file():
        raise RecipeError(_KEY, f"there is no file {path}")
    if find_spec("onnxruntime") is None:
        raise RecipeError(_KEY, "needs onnxruntime: pip install 'distill[export]'")
    from onnxruntime import InferenceSession, SessionOptions

    options = SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = torch.get_num_threads(), 3
    try:
        return InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the runtime's own
        raise RecipeError(_KEY, f"{path} cannot be opened: {short(str(error), 200)}") from error
