"""Completion in a shell: commands, options, names of recipes and files; made by shtab."""

import argparse

import shtab

from distill import recipes

_RECIPES = {
    "bash": """_distill_recipes() {{
  compgen -W "{names}" -- "$1"
  compgen -f -X '!*.yaml' -- "$1"
  compgen -d -S / -- "$1"
}}""",
    "zsh": """_distill_recipes() {{
  compadd -- {names}
  _files -g '*.yaml'
}}""",
}
_FILES = ("run_dir", "folder", "out", "config", "bench", "sweep", "search", "file", "run_dirs")
_NAMES = ("recipe", "name", "what")
"""Arguments that are files, and that are a recipe's name or file."""


def script(parser: argparse.ArgumentParser, shell: str) -> str:
    """The script that a shell reads once to complete the command.

    Args:
        parser: Of the command.
        shell: ``bash`` or ``zsh``.
    """
    for command in _all(parser):
        for action in command._actions:
            if isinstance(action, argparse._SubParsersAction):
                action.help = ""  # shtab leaves out what is suppressed
            elif action.dest in _NAMES and not action.option_strings:
                action.complete = dict.fromkeys(_RECIPES, "_distill_recipes")  # type: ignore[attr-defined]
            elif action.dest in _FILES:
                action.complete = shtab.FILE  # type: ignore[attr-defined]
    preamble = _RECIPES[shell].format(names=" ".join(recipes.names()))
    return shtab.complete(parser, shell, preamble=preamble)


def _all(parser: argparse.ArgumentParser) -> list[argparse.ArgumentParser]:
    """A parser and those of its commands."""
    found = [parser]
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            found += [inner for one in action.choices.values() for inner in _all(one)]
    return found
