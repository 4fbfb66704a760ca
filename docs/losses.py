"""Writes docs/losses.md, a card per loss, from docstrings, recipes and measured costs.

python docs/losses.py            write the page
python docs/losses.py --check    exit with a message if it is not current
"""

import csv
import inspect
import re
import sys
import textwrap
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from types import ModuleType

from torch import nn

from distill import losses

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "losses.md"
COSTS = ROOT / "experiments" / "loss_speed" / "losses.csv"
FAMILIES = ("response", "feature", "relation", "task")
HEAD = """# Losses

Written by `python docs/losses.py` from the docstrings, the recipes and the costs measured in
[experiments/loss_speed](../experiments/loss_speed).

- **Response** losses compare logits. They need the same classes, no look into the networks, and
  cost next to nothing: begin with [KDLoss](#kdloss).
- **Feature** losses compare what is inside the networks, mostly maps of one height and width. Where
  the channels differ, take a loss whose module trains a projection.
- **Relation** losses compare how the images of a batch relate to each other. Widths may differ and
  nothing is trained.
- **Task** losses need no teacher: they are what the student learns from labels.

A student learns from several at once, each with its weight: [how to balance them](balancing.md).
A cost is one forward and one backward pass in float32 on one CPU thread, and the memory that it
takes at its peak; the card says at which size.

Inputs of half precision are computed with in float32, and the gradient comes back in the input's
type. One beyond 65504 is infinite in float16: a gradient scaler (`trainer.precision: 16-mixed`)
looks for it and leaves the step out. Losses that do not depend on the scale of their inputs have
such gradients where activations are tiny. bfloat16 has the range of float32.

| loss | family | computes | paper | ms | MiB |
|---|---|---|---|--:|--:|
"""
Function = Callable[..., object]


def page() -> str:
    """The whole page."""
    costs = {row["loss"]: row for row in csv.DictReader(COSTS.read_text().splitlines())}
    rows, cards, told = "", "", dict[ModuleType, str]()
    for family in FAMILIES:
        package = import_module(f"distill.losses.{family}")
        cards += f"\n## {family.capitalize()}\n\n{_markdown(inspect.getdoc(package) or '')}\n"
        for name, loss in _members(package):
            module, cost = import_module(loss.__module__), costs.get(name, {})
            cells = [f"[{name}](#{name.lower()})", family, _prose(_function(loss) or loss)[0]]
            cells += [_link(_prose(module)[0]), _figure(cost, "ours_ms"), _figure(cost, "ours_mib")]
            rows += "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |\n"
            notes = [f"See [{told[module]}](#{told[module].lower()})."] if module in told else []
            cards += card(name, loss, notes or _prose(module)[1:], cost)
            told.setdefault(module, name)
    return HEAD + rows + cards


def card(name: str, loss: type[nn.Module], notes: list[str], cost: dict[str, str]) -> str:
    """What is known about one loss."""
    function, paper = _function(loss), _prose(import_module(loss.__module__))[0]
    formula, *remarks = _prose(function or loss)
    around = re.sub(r"^Module form of `\w+`(, for recipes)?[.; ]*", "", _prose(loss)[0])
    options, buffers = _options(loss, function), _section(loss, "Attributes")
    blocks = [f"\n### {name}", paper, f"**Computes.** {formula}", *remarks]
    blocks += [f"**Module.** {around[0].upper()}{around[1:]}"] if around and function else []
    blocks += ["**Inputs**", _bullets(_inputs(loss, function))]
    blocks += ["**Options and defaults**", _bullets(options)] if options else []
    blocks += ["**Buffers**", _bullets(buffers)] if buffers else []
    blocks += [f"**Value.** {_section(function, 'Returns')['']}"] if function else []
    blocks += [f"**Notes.** {notes[0]}", *notes[1:]] if notes else []
    time, memory = _figure(cost, "ours_ms"), _figure(cost, "ours_mib")
    blocks += [f"**Cost.** {time} ms, {memory} MiB. {cost['inputs']}."] if cost else []
    return "\n\n".join([*blocks, f"**Recipes.** {_recipes(name) or 'None by itself.'}"]) + "\n"


def _members(package: ModuleType) -> list[tuple[str, type[nn.Module]]]:
    """The losses of a family: files by name, in each the order of its classes."""
    named = ((name, getattr(losses, name)) for name in losses.__all__)
    prefix = f"{package.__name__}."
    found = [pair for pair in named if inspect.isclass(pair[1])]
    found = [pair for pair in found if pair[1].__module__.startswith(prefix)]
    return sorted(found, key=lambda pair: (pair[1].__module__, inspect.getsourcelines(pair[1])[1]))


def _function(loss: type[nn.Module]) -> Function | None:
    """The function that a module's first line names."""
    named = re.search(r":func:`(\w+)`", (loss.__doc__ or "").split("\n")[0])
    return getattr(losses, named[1]) if named else None


def _inputs(loss: type[nn.Module], function: Function | None) -> dict[str, str]:
    taken, forward = list(inspect.signature(loss.forward).parameters)[1:], _prose(loss.forward)[0]
    if function is None or not forward.startswith("See "):
        text = forward.removeprefix("Compute the loss of ")
        return {"`, `".join(taken): text[0].upper() + text[1:]}
    told = _section(function, "Args")
    seen = {name: re.match(r"See `(\w+)`", told[name]) for name in taken}
    elsewhere = {name: _section(getattr(losses, s[1]), "Args") for name, s in seen.items() if s}
    return {name: elsewhere.get(name, told)[name] for name in taken}


def _options(loss: type[nn.Module], function: Function | None) -> dict[str, str]:
    """The constructor's arguments with their defaults, told there or by the function."""
    own = {k: text for k, text in _section(loss, "Args").items() if not text.startswith("See ")}
    told, lines = _section(function, "Args") | own, {}
    arguments = inspect.signature(loss).parameters if "__init__" in vars(loss) else {}
    for name, argument in arguments.items():
        default = "" if argument.default is argument.empty else f" = {argument.default!r}"
        lines[name + default] = told[name]
    return lines


def _recipes(name: str) -> str:
    paths = sorted((ROOT / "recipes").rglob("*.yaml"))
    using = [path for path in paths if re.search(rf"losses\.{name}\b", path.read_text())]
    links = (f"[{p.parent.name}/{p.stem}](../{p.relative_to(ROOT).as_posix()})" for p in using)
    return ", ".join(links)


def _prose(documented: object) -> list[str]:
    """A docstring's paragraphs before its first section."""
    text = re.split(r"\n\w+:\n", inspect.getdoc(documented) or "")[0]
    return [_markdown(paragraph) for paragraph in text.strip().split("\n\n")]


def _section(documented: object, title: str) -> dict[str, str]:
    """Entries of a docstring's section by name; of Returns its text under ''."""
    found = re.search(rf"\n{title}:\n((?:    .*\n?|\n)+)", inspect.getdoc(documented) or "")
    text = textwrap.dedent(found[1]) if found else ""
    entries = re.findall(r"^(\w+): (.*(?:\n    .*)*)", text, re.MULTILINE)
    entries = [("", text)] if title == "Returns" else entries
    return {name: _markdown(" ".join(words.split())) for name, words in entries}


def _bullets(entries: dict[str, str]) -> str:
    return "\n".join(f"- `{name}`: {text}" for name, text in entries.items())


def _markdown(text: str) -> str:
    text = re.sub(r":\w+:`~?([^`]+)`", r"`\1`", text).replace("``", "`")
    text = re.sub(r"::\n\n((?:    .*\n|\n)+)", lambda found: _fenced(found[1]), text)
    text = re.sub(r"arXiv (\d{4}\.\d{4,5})", r"[arXiv \1](https://arxiv.org/abs/\1)", text)
    return re.sub(r"doi (10\.[\w./-]+\w)", r"[doi \1](https://doi.org/\1)", text)


def _fenced(code: str) -> str:
    return f":\n\n```yaml\n{textwrap.dedent(code).strip()}\n```\n\n"


def _link(paper: str) -> str:
    found = re.search(r"\[[^]]+\]\([^)]+\)", paper)
    return found[0] if found else "see its card"


def _figure(cost: dict[str, str], key: str) -> str:
    """A measured figure; small ones are noise."""
    value, smallest = float(cost.get(key, "nan")), 1 if key.endswith("mib") else 0.01
    return f"< {smallest}" if value < smallest else f"{value:.3g}".replace("nan", "not measured")


def main() -> None:
    """Write or check the page."""
    if "--check" not in sys.argv[1:]:
        PAGE.write_text(page())
    elif PAGE.read_text() != page():
        raise SystemExit("docs/losses.md is not current, run: python docs/losses.py")


if __name__ == "__main__":
    main()
