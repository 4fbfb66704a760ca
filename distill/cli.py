"""The command line: ``distill fit | resume | test | bench | cache | tune | augment | ls | ...``."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from distill import __version__, recipes
from distill.errors import Interrupted, NonFiniteError, RecipeError

_RUN_DIR = "DISTILL_RUN_DIR"
_EPILOG = """exit codes: 0 done; 2 bad recipe or arguments; 3 a loss became infinite or NaN;
143/130 stopped by SIGTERM/SIGINT with a checkpoint saved; 1 anything else"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code."""
    parser = _parser()
    options, rest = parser.parse_known_args(arguments)
    if rest and not hasattr(options, "overrides"):
        parser.error(f"unknown arguments: {' '.join(rest)}")
    try:
        if rest:
            options.overrides = _overrides(rest)
        options.command(options)
    except (RecipeError, NonFiniteError, Interrupted) as error:
        sys.stderr.write(f"distill: {error}\n")
        return _exit_code(error)
    except BrokenPipeError:
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "distill", description=__doc__, epilog=_EPILOG, allow_abbrev=False
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    fit = commands.add_parser("fit", help="train what a recipe describes", allow_abbrev=False)
    fit.add_argument("recipe", help="a file, or a name from `distill ls`")
    fit.add_argument("--seed", type=int, help="short for --seed_everything=N")
    fit.add_argument(
        "--config", type=Path, action="append", default=[], help="a file of trainer settings"
    )
    fit.set_defaults(command=_fit)

    tune = commands.add_parser(
        "tune", help="suggest a learning rate and a batch size", allow_abbrev=False
    )
    tune.add_argument("recipe", help="a file, or a name from `distill ls`")
    tune.add_argument("--steps", type=int, default=100, help="learning rates to try")
    tune.set_defaults(command=_tune)

    resume = commands.add_parser(
        "resume", help="go on with a run that was stopped", allow_abbrev=False
    )
    resume.add_argument("run_dir", type=Path)
    resume.set_defaults(command=_resume)

    for command in (fit, tune, resume):
        given = "RUN_DIR" if command is resume else "RECIPE"
        command.usage = f"{command.prog} {given} [--dotted.key=value ...]"
        command.add_argument("--trust", action="append", default=[], metavar="PACKAGE")
        command.set_defaults(overrides=[])
    fit.add_argument("--run_dir", type=Path, help="where the run's files go (default: under runs/)")

    test = commands.add_parser(
        "test", help="test the student of a finished run", allow_abbrev=False
    )
    test.add_argument("run_dir", type=Path)
    test.add_argument("--trust", action="append", default=[], metavar="PACKAGE")
    test.add_argument("--data.test", dest="source", metavar="SOURCE", help="other test images")
    test.set_defaults(command=_test)

    bench = commands.add_parser("bench", help="compare recipes over seeds", allow_abbrev=False)
    bench.add_argument("bench", type=Path, metavar="BENCH.yaml")
    bench.add_argument("--out", type=Path, help="where runs and tables go (default: runs/<name>)")
    bench.add_argument("--jobs", type=int, default=1, help="runs at once (default: 1)")
    bench.usage = f"{bench.prog} BENCH.yaml [--out DIR] [--jobs N] [--dotted.key=value ...]"
    bench.set_defaults(command=_bench, overrides=[])

    sweep = commands.add_parser("sweep", help="search hyper-parameters", allow_abbrev=False)
    sweep.add_argument("sweep", type=Path, metavar="SWEEP.yaml", help="in W&B's schema")
    sweep.add_argument("--out", type=Path, help="where trials go (default: runs/<folder>/<name>)")
    sweep.add_argument("--jobs", type=int, default=1, help="trials at once (default: 1)")
    sweep.add_argument("--seed", type=int, default=0, help="of the search (default: 0)")
    sweep.add_argument("--ray", metavar="ADDRESS", help="a Ray cluster: HOST:PORT, auto or local")
    options = "[--out DIR] [--jobs N] [--seed N] [--ray ADDRESS]"
    sweep.usage = f"{sweep.prog} SWEEP.yaml {options} [--dotted.key=value ...]"
    sweep.set_defaults(command=_sweep, overrides=[])

    cache = commands.add_parser(
        "cache", help="keep what a recipe's teacher says; `ls`, `rm NAME`", allow_abbrev=False
    )
    cache.usage = (
        f"{cache.prog} RECIPE [--dotted.key=value ...] | ls [FOLDER] | rm NAME [FOLDER]\n\n"
        "`cache RECIPE` fills the recipe's cache, `model.cache` or one in runs/cache"
    )
    cache.add_argument("what", metavar="RECIPE", help="a file or a name; or `ls`, or `rm`")
    cache.add_argument("names", nargs="*", metavar="NAME", help="of `rm`: the cache; the folder")
    cache.add_argument("--trust", action="append", default=[], metavar="PACKAGE")
    cache.set_defaults(command=_cache, overrides=[])

    report = commands.add_parser(
        "report", help="one page on a run, a bench or a sweep", allow_abbrev=False
    )
    report.add_argument("folder", type=Path, metavar="DIR")
    report.add_argument("--out", type=Path, help="the HTML file (default: DIR/report.html)")
    report.set_defaults(command=_report)

    chain = commands.add_parser(
        "chain", help="born again: each student teaches the next", allow_abbrev=False
    )
    chain.usage = f"{chain.prog} RECIPE [--generations N] [--run_dir DIR] [--dotted.key=value ...]"
    chain.add_argument("recipe", help="a file, or a name from `distill ls`")
    chain.add_argument("--generations", type=int, default=3, help="students after the first")
    chain.add_argument("--run_dir", type=Path, help="where the runs go (default: under runs/)")
    chain.add_argument("--trust", action="append", default=[], metavar="PACKAGE")
    chain.set_defaults(command=_chain, overrides=[])

    augment = commands.add_parser("augment", help="look at a recipe's augmentations")
    views = augment.add_subparsers(required=True, metavar="COMMAND").add_parser(
        "show", help="draw the first training samples and their views", allow_abbrev=False
    )
    views.usage = f"{views.prog} RECIPE [--out FILE.png] [--dotted.key=value ...]"
    views.add_argument("recipe", help="a file, or a name from `distill ls`")
    views.add_argument("--out", type=Path, default=Path("augment.png"), help="the picture's file")
    views.add_argument("--rows", type=int, default=8, help="samples, one below the other")
    views.add_argument("--views", type=int, default=6, help="epochs, side by side")
    views.add_argument("--trust", action="append", default=[], metavar="PACKAGE")
    views.set_defaults(command=_augment_show, overrides=[])

    commands.add_parser("ls", help="list the recipes").set_defaults(command=_ls)
    show = commands.add_parser("show", help="print a recipe")
    show.add_argument("name")
    show.set_defaults(command=_show)
    copy = commands.add_parser("cp", help="copy a recipe to a file of your own")
    copy.add_argument("name")
    copy.add_argument("file")
    copy.set_defaults(command=_copy)
    return parser


def _fit(options: argparse.Namespace) -> None:
    from distill.run import fit

    path = recipes.find(options.recipe)
    tree = recipes.load(path, options.overrides, options.config)
    if options.seed is not None:
        tree["seed_everything"] = options.seed
    name = f"{path.parent.name}/{path.stem}"
    run_dir = options.run_dir or _run_dir(name, tree.get("seed_everything", 0))
    fit(tree, run_dir, name=name, trusted=options.trust)


def _tune(options: argparse.Namespace) -> None:
    from distill.tune import tune

    tune(
        recipes.load(recipes.find(options.recipe), options.overrides),
        options.steps,
        options.trust,
    )


def _resume(options: argparse.Namespace) -> None:
    from distill.run import fit

    config = options.run_dir / "config.yaml"
    if not config.is_file():
        raise RecipeError(str(config), "is missing: not a run directory")
    tree = recipes.load(config, options.overrides)
    fit(tree, options.run_dir, name=str(options.run_dir), resume=True, trusted=options.trust)


def _test(options: argparse.Namespace) -> None:
    from distill.run import evaluate

    evaluate(options.run_dir, options.source, options.trust)


def _bench(options: argparse.Namespace) -> None:
    from distill.bench import RunsFailedError, bench

    out = options.out or Path("runs") / options.bench.parent.name
    try:
        bench(options.bench, out, overrides=options.overrides, jobs=options.jobs)
    except RunsFailedError as error:
        raise SystemExit(f"distill: {error}") from error


def _chain(options: argparse.Namespace) -> None:
    from distill.chain import chain

    path = recipes.find(options.recipe)
    tree = recipes.load(path, options.overrides)
    name = f"{path.parent.name}/{path.stem}"
    run_dir = options.run_dir or Path("runs") / name
    chain(tree, run_dir, options.generations, name=name, trusted=options.trust)


def _cache(options: argparse.Namespace) -> None:
    from distill.cache import listing
    from distill.cache.recall import FOLDER

    names = options.names
    if options.what == "ls" and len(names) <= 1:
        for row in listing.rows(listing.listed(Path(names[0]) if names else FOLDER)):
            sys.stdout.write(f"{'  '.join(row)}\n")
    elif options.what == "rm" and 1 <= len(names) <= 2:
        gone = listing.remove(Path(names[1]) if len(names) > 1 else FOLDER, names[0])
        sys.stdout.write(f"removed {gone}\n")
    elif names or options.what == "rm":
        raise RecipeError("cache", "takes one RECIPE, `ls [FOLDER]` or `rm NAME [FOLDER]`")
    else:
        from distill.fill import fill

        tree = recipes.load(recipes.find(options.what), options.overrides)
        fill(tree, options.trust)


def _sweep(options: argparse.Namespace) -> None:
    from distill.bench import RunsFailedError
    from distill.bench.sweep import sweep

    path, given = options.sweep, options.overrides
    out = options.out or Path("runs") / path.parent.name / path.stem
    try:
        sweep(path, out, None, given, options.jobs, options.seed, options.ray)
    except RunsFailedError as error:
        raise SystemExit(f"distill: {error}") from error


def _report(options: argparse.Namespace) -> None:
    from distill.report import report

    page, text, _ = report(options.folder, options.out)
    sys.stdout.write(f"{page}\n{text}\n")


def _augment_show(options: argparse.Namespace) -> None:
    from distill.preview import preview

    if options.out.suffix != ".png":
        raise RecipeError("--out", f"must end in .png, got {options.out}")
    if options.rows < 1:
        raise RecipeError("--rows", f"must be at least 1, got {options.rows}")
    tree = recipes.load(recipes.find(options.recipe), options.overrides)
    sheet = preview(tree, options.rows, options.views, options.trust)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(options.out)
    sys.stdout.write(f"{options.out}\n")


def _ls(options: argparse.Namespace) -> None:
    for name in recipes.names():
        first = (recipes.root() / f"{name}.yaml").read_text().split("\n", 1)[0]
        sys.stdout.write(f"{name:42}{first.lstrip('# ')}\n")


def _show(options: argparse.Namespace) -> None:
    sys.stdout.write(recipes.find(options.name).read_text())


def _copy(options: argparse.Namespace) -> None:
    sys.stdout.write(f"{recipes.copy(options.name, options.file)}\n")


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


def _run_dir(name: str, seed: int) -> Path:
    """A directory of the run's own; that of the first process in those that it starts."""
    from distill.rank import first_process

    if "TORCHELASTIC_RUN_ID" in os.environ:
        raise RecipeError("--run_dir", "must be given under torchrun, the same to every process")
    if not first_process():
        return Path(os.environ[_RUN_DIR])
    run_dir = _free(Path("runs") / name / f"seed{seed}")
    os.environ[_RUN_DIR] = str(run_dir)
    return run_dir


def _free(path: Path) -> Path:
    """The path, or the first of path-2, path-3, ... that holds no run."""
    number, candidate = 1, path
    while candidate.exists():
        number += 1
        candidate = path.with_name(f"{path.name}-{number}")
    return candidate


def _exit_code(error: Exception) -> int:
    if isinstance(error, Interrupted):
        return 128 + error.signum
    return 3 if isinstance(error, NonFiniteError) else 2
