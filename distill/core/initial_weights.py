"""Where the weights that a network begins with stand in its part of a recipe.

A finished run holds all weights that it needs: it is opened, and gone on with, where those that it
began with are gone.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from distill.core.strict_yaml import read_yaml

FROM_RUN, FROM_CHECKPOINT = "teachers.from_run", "teachers.from_checkpoint"
_PRUNED = "distill.compress.pruned"


def finished_files(run_dir: str) -> list[Path]:
    """The recipe, the weights and the result of a finished run.

    Args:
        run_dir: Its folder, or a folder with this one run in it.

    Raises:
        ValueError: If there is no finished run, or several.
    """
    folder, command = Path(run_dir), f"`distill fit ... --run_dir {run_dir}`"
    if not folder.is_dir():
        raise ValueError(f"no run at {run_dir}: train it first with {command}")
    if not (folder / "config.yaml").is_file():
        folder = _only_run(folder)
    files = [folder / name for name in ("config.yaml", "student.safetensors", "result.json")]
    for file in files:
        if not file.is_file():
            told = f"no finished run at {run_dir}, which has no {file.name}"
            raise ValueError(f"{told}: train it first with {command}")
    return files


def student_of(config: Path) -> Any:  # noqa: ANN401 - any value of a recipe
    """The student that a run's recipe ends with, without the weights that it began with.

    Raises:
        ValueError: If it names none.
    """
    tree: Any = read_yaml(config)
    spec = tree
    for key in ("model", "init_args", "student"):
        spec = spec.get(key) if isinstance(spec, Mapping) else None
    if spec is None:
        raise ValueError(f"{config} names no model.init_args.student")
    stages = tree.get("stages")
    for changes in stages.values() if isinstance(stages, Mapping) else ():
        if isinstance(changes, Mapping) and changes.get("wrap") is not None:
            spec = wrapped(changes["wrap"], spec)
    return untrained(spec)


def wrapped(wrap: Any, model: object) -> dict[str, Any]:  # noqa: ANN401 - a class path, or with arguments
    """The part of a recipe that gives a function a network as its ``model``.

    Example:
        >>> wrapped("a.pruned", "b.net")
        {'class_path': 'a.pruned', 'init_args': {'model': 'b.net'}}
    """
    spec: dict[str, Any] = {"class_path": wrap} if isinstance(wrap, str) else dict(wrap)
    return {**spec, "init_args": {"model": model, **(spec.get("init_args") or {})}}


def untrained(spec: Any) -> Any:  # noqa: ANN401 - any value of a recipe
    """A network's part of a recipe, for one whose weights are all loaded once it is built.

    Files of weights are not read, and nothing is pruned: widths are those of the weights.
    """
    if isinstance(spec, list):
        return [untrained(each) for each in spec]
    if not isinstance(spec, Mapping):
        return spec
    found = {key: untrained(value) for key, value in spec.items()}
    path, arguments = found.get("class_path"), found.get("init_args")
    if path == FROM_CHECKPOINT and isinstance(arguments, dict):
        found["init_args"] = {k: arguments[k] for k in arguments if k in ("model", "normalization")}
    if path == _PRUNED and isinstance(arguments, dict):
        found["init_args"] = arguments | {"flops": 1.0}
    return found


def standing_alone(spec: Any) -> Any:  # noqa: ANN401 - any value of a recipe
    """A network's part of a recipe, whose runs of others are written down as what they hold.

    Args:
        spec: One that can be built: its runs are there.

    Raises:
        ValueError: If a run is not.
    """
    if isinstance(spec, list):
        return [standing_alone(each) for each in spec]
    if not isinstance(spec, Mapping):
        return spec
    arguments = spec.get("init_args")
    if spec.get("class_path") != FROM_RUN or not isinstance(arguments, Mapping):
        return {key: standing_alone(value) for key, value in spec.items()}
    config, weights, result = finished_files(str(arguments.get("run_dir")))
    facts = json.loads(result.read_text(encoding="utf-8"))
    found = {"model": standing_alone(student_of(config)), "path": str(weights)}
    found |= {"normalization": facts["normalization"]} if facts.get("normalization") else {}
    if isinstance(digests := facts.get("sha256"), Mapping) and weights.name in digests:
        found["sha256"] = digests[weights.name]
    return {"class_path": FROM_CHECKPOINT, "init_args": found}


def _only_run(folder: Path) -> Path:
    """The finished run inside a folder, such as ``seed0``; the folder itself where there is none.

    Raises:
        ValueError: If there are several: which one is meant must not change when one is added.
    """
    runs = sorted(path.parent for path in folder.glob("*/result.json"))
    if len(runs) > 1:
        raise ValueError(f"{folder} holds several runs, name one: {', '.join(map(str, runs))}")
    return runs[0] if runs else folder
