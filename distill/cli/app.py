"""The command line: ``distill fit | resume | test | bench | cache | tune | augment | ls | ...``."""

import argparse
import errno
import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

from distill import __version__
from distill.cli import aids, commands
from distill.cli.purposes import by_purpose
from distill.cli.trust import add_trust, on_the_path
from distill.core.errors import Interrupted, NonFiniteError, RecipeError
from distill.core.stopping import Stopped, stoppable

_EPILOG = """DISTILL_TRACEBACK=1 in the environment shows where an error comes from.
exit codes: 0 done; 2 bad recipe or arguments; 3 a loss became infinite or NaN;
143/130 stopped by SIGTERM/SIGINT with a checkpoint saved; 1 anything else"""
_NOT_OURS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO)
"""A full or failing disk and missing rights: a line says it, a traceback adds nothing."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code."""
    parser = _parser()
    options, rest = parser.parse_known_args(arguments)
    if rest and not hasattr(options, "overrides"):
        parser.error(f"unknown arguments: {' '.join(rest)}")
    try:
        with stoppable():
            if rest:
                options.overrides = _overrides(rest)
            on_the_path(getattr(options, "trust", ()))
            options.command(options)
    except (RecipeError, NonFiniteError, Interrupted, Stopped) as error:
        return _ended(error)
    except BrokenPipeError:
        return 1
    except OSError as error:
        if error.errno not in _NOT_OURS:
            raise
        sys.stderr.write(f"distill: {error}\n")
        return 1
    return 0


def _ended(error: BaseException) -> int:
    """Say why in a line; returns the exit code."""
    if isinstance(error, Interrupted) and not _speaks():
        return 0  # a launcher would kill the first process if another one failed before it
    if os.environ.get("DISTILL_TRACEBACK"):
        traceback.print_exception(error)
    sys.stderr.write(f"distill: {error}\n")
    return _exit_code(error)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "distill",
        usage="distill COMMAND ...",
        description="Knowledge distillation. `distill help COMMAND` says more on each command.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=__version__)
    kinds = parser.add_subparsers(
        required=True, prog="distill", metavar="COMMAND", help=argparse.SUPPRESS
    )

    fit = kinds.add_parser("fit", help="train what a recipe describes", allow_abbrev=False)
    fit.add_argument("recipe", help="a file, or a name from `distill ls`")
    fit.add_argument("--seed", type=int, help="short for --seed_everything=N")
    fit.add_argument(
        "--config", type=Path, action="append", default=[], help="a file of trainer settings"
    )
    fit.add_argument(
        "--warm_start", type=Path, metavar="RUN_DIR", help="begin with the weights of this run"
    )
    fit.add_argument(
        "--overwrite", action="store_true", help="start anew in a RUN_DIR that holds a run"
    )
    fit.set_defaults(command=commands.fit)

    tune = kinds.add_parser(
        "tune", help="suggest a learning rate and a batch size", allow_abbrev=False
    )
    tune.add_argument("recipe", help="a file, or a name from `distill ls`")
    tune.add_argument("--steps", type=int, default=100, help="learning rates to try")
    tune.set_defaults(command=commands.tune)

    resume = kinds.add_parser(
        "resume", help="go on with a run that was stopped", allow_abbrev=False
    )
    resume.add_argument("run_dir", type=Path)
    resume.set_defaults(command=commands.resume)

    for command in (fit, tune, resume):
        given = "RUN_DIR" if command is resume else "RECIPE"
        command.usage = f"{command.prog} {given} [--dotted.key=value ...]"
        add_trust(command)
        command.set_defaults(overrides=[])
    fit.add_argument("--run_dir", type=Path, help="where the run's files go (default: under runs/)")

    test = kinds.add_parser("test", help="test the student of a finished run", allow_abbrev=False)
    test.add_argument("run_dir", type=Path)
    add_trust(test)
    test.add_argument("--data.test", dest="source", metavar="SOURCE", help="other test images")
    test.add_argument(
        "--data.image_size", dest="image_size", type=int, metavar="PIXELS", help="resize them to it"
    )
    test.add_argument("--file", type=Path, metavar="FILE.onnx", help="test what was exported, too")
    test.usage = (
        f"{test.prog} RUN_DIR [--data.test SOURCE] [--data.image_size PIXELS] [--file FILE.onnx]"
    )
    test.set_defaults(command=commands.test)

    export = kinds.add_parser(
        "export", help="a finished run's student as one file", allow_abbrev=False
    )
    export.add_argument("run_dir", type=Path)
    export.add_argument(
        "--out", type=Path, help="FILE.onnx or FILE.pt2 (default: RUN_DIR/student.onnx)"
    )
    add_trust(export)
    export.set_defaults(command=commands.export)

    predict = kinds.add_parser(
        "predict", help="what a finished run's student says of images", allow_abbrev=False
    )
    predict.add_argument("run_dir", type=Path)
    predict.add_argument(
        "images", nargs="+", metavar="IMAGES", help="files, folders, 'patterns*', archives, tables"
    )
    predict.add_argument(
        "--out", type=Path, help="FILE.csv, FILE.jsonl, or a folder for pictures (default: print)"
    )
    predict.add_argument("--top", type=int, default=5, help="classes to tell of each image")
    predict.add_argument("--trust", action="append", default=[], metavar="PACKAGE")
    predict.set_defaults(command=commands.predict)

    push = kinds.add_parser(
        "push", help="a finished run to the Hugging Face hub", allow_abbrev=False
    )
    push.description = "The token is read from HF_TOKEN in the environment."
    push.add_argument("run_dir", type=Path)
    push.add_argument("repo", metavar="OWNER/NAME")
    push.add_argument("--private", action="store_true", help="where the repository is a new one")
    push.set_defaults(command=commands.push)

    bench = kinds.add_parser("bench", help="compare recipes over seeds", allow_abbrev=False)
    bench.add_argument("bench", type=Path, metavar="BENCH.yaml")
    bench.add_argument(
        "--out", type=Path, help="where runs and tables go (default: runs/<folder>/<name>)"
    )
    bench.add_argument("--jobs", type=int, default=1, help="runs at once (default: 1)")
    bench.add_argument("--ray", metavar="ADDRESS", help="a Ray cluster: HOST:PORT, auto or local")
    options = "[--out DIR] [--jobs N] [--ray ADDRESS]"
    bench.usage = f"{bench.prog} BENCH.yaml {options} [--dotted.key=value ...]"
    add_trust(bench)
    bench.set_defaults(command=commands.bench, overrides=[])

    sweep = kinds.add_parser("sweep", help="search hyper-parameters", allow_abbrev=False)
    sweep.add_argument("sweep", type=Path, metavar="SWEEP.yaml", help="in W&B's schema")
    sweep.add_argument("--out", type=Path, help="where trials go (default: runs/<folder>/<name>)")
    sweep.add_argument("--jobs", type=int, default=1, help="trials at once (default: 1)")
    sweep.add_argument("--seed", type=int, default=0, help="of the search (default: 0)")
    sweep.add_argument("--ray", metavar="ADDRESS", help="a Ray cluster: HOST:PORT, auto or local")
    add_trust(sweep)
    options = "[--out DIR] [--jobs N] [--seed N] [--ray ADDRESS]"
    sweep.usage = f"{sweep.prog} SWEEP.yaml {options} [--dotted.key=value ...]"
    sweep.set_defaults(command=commands.sweep, overrides=[])

    search = kinds.add_parser("search", help="search a student's architecture", allow_abbrev=False)
    search.add_argument("search", type=Path, metavar="SEARCH.yaml", help="see docs/search.md")
    search.add_argument("--out", type=Path, help="where all goes (default: runs/<folder>/<name>)")
    search.add_argument("--jobs", type=int, default=1, help="runs at once (default: 1)")
    search.add_argument("--seed", type=int, default=0, help="of the search (default: 0)")
    search.add_argument("--ray", metavar="ADDRESS", help="a Ray cluster: HOST:PORT, auto or local")
    search.add_argument("--remeasure", action="store_true", help="measure latencies anew")
    add_trust(search)
    options = "[--out DIR] [--jobs N] [--seed N] [--ray ADDRESS] [--remeasure]"
    search.usage = f"{search.prog} SEARCH.yaml {options} [--dotted.key=value ...]"
    search.set_defaults(command=commands.search, overrides=[])

    cache = kinds.add_parser(
        "cache", help="keep what a recipe's teacher says; `ls`, `rm NAME`", allow_abbrev=False
    )
    cache.usage = f"{cache.prog} RECIPE [--dotted.key=value ...] | ls [FOLDER] | rm NAME [FOLDER]"
    cache.description = "RECIPE: fills its cache, `model.cache` or one in runs/cache"
    cache.add_argument("what", metavar="RECIPE", help="a file or a name; or `ls`, or `rm`")
    cache.add_argument("names", nargs="*", metavar="NAME", help="of `rm`: the cache; the folder")
    add_trust(cache)
    cache.set_defaults(command=commands.cache, overrides=[])

    report = kinds.add_parser(
        "report", help="one page on a run, bench, sweep or search", allow_abbrev=False
    )
    report.add_argument("folder", type=Path, metavar="DIR")
    report.add_argument("--out", type=Path, help="the HTML file (default: DIR/report.html)")
    report.set_defaults(command=commands.report)

    chain = kinds.add_parser(
        "chain", help="born again: each student teaches the next", allow_abbrev=False
    )
    chain.usage = f"{chain.prog} RECIPE [--generations N] [--run_dir DIR] [--dotted.key=value ...]"
    chain.add_argument("recipe", help="a file, or a name from `distill ls`")
    chain.add_argument("--generations", type=int, default=3, help="students after the first")
    chain.add_argument("--run_dir", type=Path, help="where the runs go (default: under runs/)")
    add_trust(chain)
    chain.set_defaults(command=commands.chain, overrides=[])

    ssld = kinds.add_parser(
        "ssld", help="clean, label and select a recipe's unlabelled images", allow_abbrev=False
    )
    ssld.add_argument("recipe", help="a file, or a name from `distill ls`")
    ssld.add_argument("--top_k", type=int, required=True, help="images to select of each class")
    ssld.add_argument("--bits", type=int, default=6, help="bits of 126 that near duplicates differ")
    ssld.add_argument(
        "--from", dest="begin", default="clean", metavar="STEP", help="clean, label or select"
    )
    options = "[--bits N] [--from STEP] [--dotted.key=value ...]"
    ssld.usage = f"{ssld.prog} RECIPE --top_k N {options}"
    add_trust(ssld)
    ssld.set_defaults(command=commands.ssld, overrides=[])

    augment = kinds.add_parser("augment", help="look at a recipe's augmentations")
    views = augment.add_subparsers(required=True, metavar="COMMAND").add_parser(
        "show", help="draw the first training samples and their views", allow_abbrev=False
    )
    views.usage = (
        f"{views.prog} RECIPE [--out FILE.png] [--rows N] [--views N] [--dotted.key=value ...]"
    )
    views.add_argument("recipe", help="a file, or a name from `distill ls`")
    views.add_argument("--out", type=Path, default=Path("augment.png"), help="the picture's file")
    views.add_argument("--rows", type=int, default=8, help="samples, one below the other")
    views.add_argument("--views", type=int, default=6, help="epochs, side by side")
    add_trust(views)
    views.set_defaults(command=commands.augment_show, overrides=[])

    aids.add_commands(kinds)
    for name in ("help", "completion"):
        kinds.choices[name].set_defaults(whole=parser)
    parser.epilog = f"{by_purpose(kinds)}\n\n{_EPILOG}"
    return parser


def _overrides(rest: Sequence[str]) -> list[str]:
    """``--key=value`` or ``--key value`` as ``key=value``."""
    found: list[str] = []
    words = iter(rest)
    for word in words:
        if not word.startswith("--"):
            raise RecipeError(
                word, "unexpected argument; an override is written --dotted.key=value"
            )
        key = word[2:]
        if "=" not in key:
            value = next(words, None)
            if value is None:
                raise RecipeError(key, "needs a value: --dotted.key=value")
            key = f"{key}={value}"
        found.append(key)
    return found


def _speaks() -> bool:
    from distill.core.rank import first_process

    return first_process()


def _exit_code(error: BaseException) -> int:
    if isinstance(error, (Interrupted, Stopped)):
        return 128 + error.signum
    return 3 if isinstance(error, NonFiniteError) else 2
