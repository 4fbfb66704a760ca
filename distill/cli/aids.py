"""Commands around training: recipes, classes, finished runs, the machine."""

import argparse
import sys
from pathlib import Path

from distill.cli import commands
from distill.cli.trust import add_trust


def add_commands(kinds: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add them to the parser."""
    _recipes(kinds)
    _classes(kinds)
    _runs(kinds)
    _first_steps(kinds)


def _recipes(kinds: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    ls = kinds.add_parser("ls", help="list the recipes, or those that match a WORD")
    ls.add_argument("word", nargs="?", default="", metavar="WORD", help="of the name or the title")
    ls.set_defaults(command=commands.ls)
    show = kinds.add_parser("show", help="print a recipe")
    show.add_argument("name")
    show.set_defaults(command=commands.show)
    copy = kinds.add_parser("cp", help="copy a recipe to a file of your own")
    copy.add_argument("name")
    copy.add_argument("file")
    copy.set_defaults(command=commands.copy)


def _classes(kinds: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    told = kinds.add_parser("help", help="of a COMMAND, or options of a class by its CLASS_PATH")
    told.add_argument("topic", nargs="?", metavar="COMMAND | CLASS_PATH")
    add_trust(told)
    told.set_defaults(command=_help, commands=kinds.choices)


def _help(options: argparse.Namespace) -> None:
    """Print the help of a command, of a class, or of everything."""
    topic = options.topic
    if topic in options.commands:
        options.commands[topic].print_help()
    elif topic is None:
        options.whole.print_help()
    else:
        from distill.tools.describe import describe

        sys.stdout.write(f"{describe(topic, options.trust)}\n")


def _runs(kinds: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    runs = kinds.add_parser("runs", help="list the runs below a folder, or compare some of them")
    runs.add_argument("folder", nargs="?", type=Path, default=Path("runs"), metavar="DIR")
    runs.add_argument("--match", default="", metavar="WORD", help="of directory, recipe or state")
    compared = "runs, in DIR or by their path, side by side: figures and differing settings"
    runs.add_argument("--compare", nargs="+", default=[], metavar="RUN", help=compared)
    runs.set_defaults(command=_list_runs)


def _list_runs(options: argparse.Namespace) -> None:
    """List runs, or show some of them side by side."""
    from distill.tools.list_runs import columns, compare_runs, list_runs

    if options.compare:
        inside = [options.folder / name for name in options.compare]
        given = zip(inside, map(Path, options.compare), strict=True)
        rows = compare_runs([one if one.is_dir() else other for one, other in given])
    else:
        rows = list_runs(options.folder, options.match)
    sys.stdout.write(columns(rows))


def _first_steps(kinds: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    init = kinds.add_parser("init", help="write a recipe for your own images; asks what it needs")
    init.add_argument("file", type=Path, metavar="FILE.yaml", help="a new file")
    init.add_argument("--data", metavar="SOURCE", help="a folder of class folders, or a table")
    init.add_argument("--teacher", metavar="RUN_DIR", help="a finished run; none: student alone")
    init.add_argument("--student", metavar="NAME", help="of `students` or of timm")
    init.add_argument("--epochs", type=int, default=30, help="of training (default: 30)")
    init.set_defaults(command=_init)

    doctor = kinds.add_parser("doctor", help="what this machine has: versions, devices, disk, W&B")
    doctor.set_defaults(command=_doctor)

    completion = kinds.add_parser("completion", help="print a shell's completion of this command")
    completion.add_argument("shell", choices=("bash", "zsh"))
    completion.set_defaults(command=_completion)


def _init(options: argparse.Namespace) -> None:
    """Write a recipe."""
    from distill.tools.init_recipe import Answers, init_recipe

    answers = Answers(options.data, options.teacher, options.student)
    for line in init_recipe(options.file, answers, options.epochs):
        sys.stdout.write(f"{line}\n")


def _doctor(options: argparse.Namespace) -> None:
    """Tell what this machine has."""
    from distill.tools.doctor import doctor

    for line in doctor(Path("runs")):
        sys.stdout.write(f"{line}\n")


def _completion(options: argparse.Namespace) -> None:
    """Print a completion script."""
    from distill.cli.completion import script

    sys.stdout.write(script(options.whole, options.shell))
