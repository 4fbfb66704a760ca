"""Writes docs/losses.md, a card per loss, from docstrings, recipes and measured costs.

python docs/losses.py            write the page
python docs/losses.py --check    exit with a message if it is not current
"""

import csv
import inspect
import re
import sys
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
- **Feature** losses compare maps inside the networks, of one height and width. Where the channels
  differ, take a loss whose module trains a projection.
- **Relation** losses compare how the images of a batch relate to each other. Widths may differ and
  nothing is trained.
- **Task** losses need no teacher: they are what the student learns from labels.

A student learns from several at once, each with its weight: [how to balance them](balancing.md).
A cost is one forward and one backward pass in float32 on one CPU thread, and the memory that it
takes at its peak; the card says at which size.
"""

Function = Callable[..., object]


def page() -> str:
    """The whole page."""
    costs = {row["loss"]: row for row in csv.DictReader(COSTS.read_text().splitlines())}
    table, cards = (
        ["| loss | family | computes | paper | ms | MiB |", "|---|---|---|---|--:|--:|"],
        [],
    )
    for family in FAMILIES:
        package = import_module(f"distill.losses.{family}")
        cards.append(f"## {family.capitalize()}\n\n{_markdown(inspect.getdoc(package) or '')}\n")
        for name in sorted(losses.__all__, key=str.lower):
            loss = getattr(losses, name)
            if not inspect.isclass(loss) or family not in loss.__module__.split("."):
                continue
            cost = costs.get(name, {})
            link, paper = f"[{name}](#{name.lower()})", _link(_prose(_module(loss))[0])
            figures = (_figure(cost, "ours_ms"), _figure(cost, "ours_mib"))
            cells = (link, family, _prose(_function(loss) or loss)[0], paper, *figures)
            table.append("| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |")
            cards.append(card(name, loss, cost))
    return "\n".join([HEAD, *table, "", *cards])


def card(name: str, loss: type[nn.Module], cost: dict[str, str]) -> str:
    """What is known about one loss."""
    function = _function(loss)
    paper, *notes = _prose(_module(loss))
    formula, *remarks = _prose(function or loss)
    around = re.sub(r"^Module form of `\w+`(, for recipes)?\W*", "", _prose(loss)[0])
    options, buffers = _options(loss, function), _section(loss, "Attributes")
    blocks = [f"### {name}", paper, f"**Computes.** {formula}", *remarks]
    blocks += [f"**Module.** {around[0].upper()}{around[1:]}"] if around and function else []
    blocks += ["**Inputs**", _inputs(loss, function)]
    blocks += ["**Options and defaults**", _bullets(options)] if options else []
    blocks += ["**Buffers**", _bullets(buffers)] if buffers else []
    blocks += [f"**Value.** {_section(function, 'Returns')['']}"] if function else []
    blocks += [f"**Notes.** {notes[0]}", *notes[1:]] if notes else []
    figures = (
        f"{_figure(cost, 'ours_ms')} ms, {_figure(cost, 'ours_mib')} MiB. {cost.get('inputs', '')}."
    )
    blocks += [f"**Cost.** {figures}", f"**Recipes.** {_recipes(name) or 'None by itself.'}"]
    return "\n\n".join(blocks) + "\n"


def _module(loss: type[nn.Module]) -> ModuleType:
    return import_module(loss.__module__)


def _function(loss: type[nn.Module]) -> Function | None:
    """The function that a module's first line names."""
    named = re.search(r":func:`(\w+)`", (loss.__doc__ or "").split("\n")[0])
    return getattr(losses, named[1]) if named else None


def _inputs(loss: type[nn.Module], function: Function | None) -> str:
    forward = _prose(loss.forward)[0]
    if function is None or not forward.startswith("See "):
        return f"- {forward}"
    taken, told = inspect.signature(loss.forward).parameters, _section(function, "Args")
    return _bullets({name: told[name] for name in taken if name in told})


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
    """Entries of a docstring's section by name; of one without names, its text under ''."""
    found = re.search(rf"\n{title}:\n((?:    .*\n?|\n)+)", inspect.getdoc(documented) or "")
    text = inspect.cleandoc(found[1]) if found else ""
    entries = [("", text)]
    if title != "Returns":
        entries = re.findall(r"^(\w+): (.*(?:\n    .*)*)", text, re.MULTILINE)
    return {name: _markdown(" ".join(words.split())) for name, words in entries}


def _bullets(entries: dict[str, str]) -> str:
    return "\n".join(f"- `{name}`: {text}" for name, text in entries.items())


def _markdown(text: str) -> str:
    text = re.sub(r":\w+:`~?([^`]+)`", r"`\1`", text).replace("``", "`")
    text = re.sub(r"::\n\n((?:    .*\n|\n)+)", lambda found: _fenced(found[1]), text)
    text = re.sub(r"arXiv (\d{4}\.\d{4,5})", r"[arXiv \1](https://arxiv.org/abs/\1)", text)
    return re.sub(r"doi (10\.[\w./-]+\w)", r"[doi \1](https://doi.org/\1)", text)


def _fenced(code: str) -> str:
    return f":\n\n```yaml\n{inspect.cleandoc(code)}\n```\n\n"


def _link(text: str) -> str:
    """The first link of a text."""
    found = re.search(r"\[[^]]+\]\([^)]+\)", text)
    return found[0] if found else ""


def _figure(cost: dict[str, str], key: str) -> str:
    """A measured figure; small ones are noise."""
    if not cost:
        return "not measured"
    value, smallest = float(cost[key]), 1 if key.endswith("mib") else 0.01
    return f"{value:.3g}" if value >= smallest else f"< {smallest}"


def main() -> None:
    """Write or check the page."""
    if "--check" not in sys.argv[1:]:
        PAGE.write_text(page())
    elif PAGE.read_text() != page():
        raise SystemExit("docs/losses.md is not current, run: python docs/losses.py")


if __name__ == "__main__":
    main()
