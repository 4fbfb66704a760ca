"""A run's model card: the ``README.md`` that the large hub shows, with its facts as YAML in front.

Written by ``fit`` when a run ends, since all that it says is known then and belongs to that run.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from distill.core.files import write_bytes
from distill.core.strict_yaml import read_yaml
from distill.results.scores import metric_of, scores_of

FILE = "README.md"
_MOST_CLASSES = 50


def write_card(run_dir: Path, result: Mapping[str, Any]) -> None:
    """Write the model card of a run that has its ``config.yaml``.

    Args:
        run_dir: The run's directory.
        result: The content of its ``result.json``.
    """
    text = card(result, read_yaml(run_dir / "config.yaml"))
    write_bytes(run_dir / FILE, text.encode(errors="backslashreplace"))


def card(result: Mapping[str, Any], config: Mapping[str, Any]) -> str:
    """The text of a model card.

    Args:
        result: The content of a run's ``result.json``.
        config: That of its ``config.yaml``.
    """
    name = str(result["recipe"] or "student")
    front = yaml.safe_dump(_front(name, result), sort_keys=False, allow_unicode=True)
    body = "\n".join(_body(name, result, config))
    return f"---\n{front}---\n\n{body}\n"


def _front(name: str, result: Mapping[str, Any]) -> dict[str, Any]:
    """What the hub files a model under; whoever shares it chooses a licence."""
    tag = result.get("pipeline_tag")
    dataset = result["dataset"]["class"]
    found: dict[str, Any] = {"library_name": "distill", "license": "unknown"}
    if tag:
        found["pipeline_tag"] = tag
    found["tags"] = ["knowledge-distillation"]
    metrics = [
        {"type": metric_of(result), "name": f"{metric_of(result)} on {split}, %", "value": value}
        for split, value in _last(result, "student").items()
    ]
    if metrics:
        data = {"name": dataset, "type": dataset.lower()}
        results = [{"task": {"type": tag or "other"}, "dataset": data, "metrics": metrics}]
        found["model-index"] = [{"name": name, "results": results}]
    return found


def _body(name: str, result: Mapping[str, Any], config: Mapping[str, Any]) -> Iterator[str]:
    yield f"# {name}\n"
    yield from _images(result)
    yield "\n## Figures\n"
    yield from _table(result)
    yield f"\nAfter the last epoch of one run, seed {result['seed']}: no spread is known.\n"
    yield "## Training\n"
    yield from _training(result, config)
    yield "\n## How to run\n"
    yield "```"
    yield "distill predict . IMAGES          # a class or a text for each image"
    yield "distill export .                  # student.onnx, and run_onnx.py that runs it"
    yield "distill fit config.yaml --run_dir AGAIN   # the same run once more"
    yield "```\n"
    yield "`preprocess.json` says how an image becomes an input; exports hold it too.\n"
    yield "## Licence\n"
    yield "Not stated."


def _images(result: Mapping[str, Any]) -> Iterator[str]:
    data = result["dataset"]
    student, classes = result["student"], [_line(name) for name in data["classes"]]
    channels, *size = data["shape"]
    kind = "greyscale" if channels == 1 else "colour"
    images = f"{kind} images of {' x '.join(map(str, size))} pixels (height x width)"
    yield f"{student['class']}, {student['parameters']:,} parameters, for {images}."
    more = f", and {len(classes) - _MOST_CLASSES} more" * (len(classes) > _MOST_CLASSES)
    yield f"\n{len(classes)} classes: {', '.join(classes[:_MOST_CLASSES])}{more}."


def _table(result: Mapping[str, Any]) -> Iterator[str]:
    metric = metric_of(result)
    networks = {name: _last(result, name) for name in ("teacher", "student") if result[name]}
    splits = list(dict.fromkeys(split for values in networks.values() for split in values))
    yield " | ".join(["| network | parameters", *(f"{metric}, {s}, %" for s in splits)]) + " |"
    yield "|---" * (2 + len(splits)) + "|"
    for name, values in networks.items():
        facts = result[name]
        shown = (f"{values[split]:.2f}" if split in values else "" for split in splits)
        cells = [f"| {name}: {facts['class']}", f"{facts['parameters']:,}", *shown]
        yield " | ".join(cells) + " |"


def _training(result: Mapping[str, Any], config: Mapping[str, Any]) -> Iterator[str]:
    images = ", ".join(f"{n:,} for {split}" for split, n in result["dataset"]["images"].items())
    yield f"- Images: {result['dataset']['class']}, {images}."
    if losses := _at(config, "model", "losses"):
        yield f"- Losses: {'; '.join(_term(name, term) for name, term in losses.items())}."
    if teacher := _at(config, "model", "teacher"):
        yield f"- Teacher: `{_class(teacher)}`."
    spent = f"{result['epochs']} epochs, {result['steps']} steps, {result['wall_s']} s"
    yield f"- {spent} on {result['device']}, precision {result['precision']}."
    versions = ", ".join(f"{package} {which}" for package, which in result["versions"].items())
    yield f"- {versions}."


def _term(name: str, term: object) -> str:
    given = term if isinstance(term, Mapping) else {}
    return f"{_line(name)} (`{_class(given.get('loss'))}`, weight {_line(given.get('weight', 1))})"


def _class(spec: object) -> str:
    return _line(spec.get("class_path") if isinstance(spec, Mapping) else spec)


def _at(config: Mapping[str, Any], section: str, name: str) -> Any:  # noqa: ANN401
    """An argument of a section of a recipe, None where there is none."""
    arguments = (config.get(section) or {}).get("init_args") or {}
    return arguments.get(name)


def _last(result: Mapping[str, Any], network: str) -> dict[str, float]:
    """A network's figures after the last epoch, by split, of those that were measured."""
    scores = scores_of(result, network)
    return {s: round(v["last"], 2) for s, v in scores.items() if v and v["last"] is not None}


def _line(value: object) -> str:
    """A value in one line that starts no table, link or code."""
    return " ".join(str(value).replace("|", "/").replace("`", "'").split())
