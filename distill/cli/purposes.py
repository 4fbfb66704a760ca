"""The list of commands, by what one wants to do."""

import argparse
from collections.abc import Iterable, Mapping

PURPOSES = {
    "begin": ("init", "ls", "show", "cp", "help", "augment"),
    "train": ("fit", "resume", "chain", "tune", "cache", "ssld"),
    "look at results": ("runs", "test", "report"),
    "use a student": ("predict", "export", "push"),
    "study": ("bench", "sweep", "search"),
    "housekeeping": ("doctor", "completion"),
}
_REST = "more"


def by_purpose(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> str:
    """Every command with its line of help, under the purposes."""
    lines = {str(action.dest): action.help or "" for action in commands._choices_actions}
    told = [
        f"{purpose}:\n" + "\n".join(f"  {name:12}{lines[name]}" for name in names)
        for purpose, names in _grouped(lines).items()
    ]
    return "\n\n".join(told)


def _grouped(known: Iterable[str]) -> Mapping[str, list[str]]:
    """The known commands by purpose; those without one come last."""
    groups = {why: [name for name in names if name in known] for why, names in PURPOSES.items()}
    placed = {name for names in groups.values() for name in names}
    groups[_REST] = [name for name in known if name not in placed]
    return {why: names for why, names in groups.items() if names}
