"""What the commands of the command line do; each imports what it needs when it is called."""

import argparse
import os
import sys
from pathlib import Path

from distill import recipes
from distill.core.echo import short
from distill.core.errors import RecipeError
from distill.core.suggest import nearest
from distill.recipes import Recipe

_RUN_DIR = "DISTILL_RUN_DIR"


def fit(options: argparse.Namespace) -> None:
    """Train what a recipe describes."""
    from distill.runs import fit

    path = recipes.find(options.recipe)
    recipe = Recipe(recipes.load(path, options.overrides, options.config))
    if options.seed is not None:
        recipe = recipe.put("seed_everything", options.seed)
    if options.warm_start is not None:
        recipe = _warm_started(recipe, options.warm_start)
    name = _name(path)
    run_dir = options.run_dir or _run_dir(name, recipe.get("seed_everything", 0))
    fit(recipe, run_dir, name=name, trusted=options.trust, overwrite=options.overwrite)


def tune(options: argparse.Namespace) -> None:
    """Suggest a learning rate and a batch size."""
    from distill.tools.tune import tune

    tune(_recipe(options), options.steps, options.trust)


def resume(options: argparse.Namespace) -> None:
    """Go on with a run that was stopped."""
    from distill.recipes.changes import check_changes
    from distill.runs import fit
    from distill.runs.directory import recipe_name

    config = options.run_dir / "config.yaml"
    if not config.is_file():
        raise RecipeError(str(config), "is missing: not a run directory")
    recipe = Recipe(recipes.load(config, options.overrides))
    check_changes(Recipe(recipes.load(config)), recipe)
    name = recipe_name(options.run_dir)
    fit(recipe, options.run_dir, name=name, resume=True, trusted=options.trust)


def test(options: argparse.Namespace) -> None:
    """Test the student of a finished run."""
    from distill.runs import evaluate

    size = options.image_size
    evaluate(options.run_dir, options.source, options.trust, image_size=size, file=options.file)


def export(options: argparse.Namespace) -> None:
    """Write a finished run's student as one file."""
    from distill.tools.export import export

    export(options.run_dir, options.out, options.trust)


def predict(options: argparse.Namespace) -> None:
    """Tell what a finished run's student says of images."""
    from distill.tools.predict import predict

    predict(options.run_dir, options.images, options.out, options.top, options.trust)


def push(options: argparse.Namespace) -> None:
    """Upload a finished run to the hub."""
    from distill.tools.push import push

    sys.stdout.write(f"{push(options.run_dir, options.repo, options.private)}\n")


def bench(options: argparse.Namespace) -> None:
    """Compare recipes over seeds."""
    from distill.bench import RunsFailedError, bench

    out = options.out or Path("runs") / _name(options.bench)
    try:
        bench(
            options.bench,
            out,
            overrides=options.overrides,
            jobs=options.jobs,
            trusted=options.trust,
            ray=options.ray,
        )
    except RunsFailedError as error:
        raise SystemExit(f"distill: {error}") from error


def chain(options: argparse.Namespace) -> None:
    """Train a chain of students, each the next one's teacher."""
    from distill.tools.chain import chain

    path = recipes.find(options.recipe)
    name = _name(path)
    run_dir = options.run_dir or Path("runs") / name
    chain(_recipe(options), run_dir, options.generations, name=name, trusted=options.trust)


def cache(options: argparse.Namespace) -> None:
    """Fill a recipe's cache, list caches or remove one."""
    from distill.cache import listing
    from distill.cache.teacher_cache import FOLDER

    names = options.names
    if options.what == "ls" and len(names) <= 1:
        for row in listing.rows(listing.list_caches(Path(names[0]) if names else FOLDER)):
            sys.stdout.write(f"{'  '.join(row)}\n")
    elif options.what == "rm" and 1 <= len(names) <= 2:
        gone = listing.remove(Path(names[1]) if len(names) > 1 else FOLDER, names[0])
        sys.stdout.write(f"removed {gone}\n")
    elif names or options.what == "rm":
        raise RecipeError("cache", "takes one RECIPE, `ls [FOLDER]` or `rm NAME [FOLDER]`")
    else:
        from distill.tools.fill_cache import fill

        fill(Recipe(recipes.load(recipes.find(options.what), options.overrides)), options.trust)


def ssld(options: argparse.Namespace) -> None:
    """Clean, label and select unlabelled images."""
    from distill.ssld import prepare

    given = [f"--top_k {options.top_k}", f"--bits {options.bits}"]
    given += [f"--from {options.begin}"] if options.begin != "clean" else []
    given += [f"--trust {package}" for package in options.trust]
    changes = [f"--{override}" for override in options.overrides]
    prepare(
        _recipe(options),
        options.top_k,
        options.bits,
        options.begin,
        command=" ".join(["distill ssld", options.recipe, *given, *changes]),
        trusted=options.trust,
    )


def sweep(options: argparse.Namespace) -> None:
    """Search over a recipe's settings."""
    from distill.bench import RunsFailedError
    from distill.bench.sweep import sweep

    path, given = options.sweep, options.overrides
    out = options.out or Path("runs") / _name(path)
    try:
        sweep(path, out, None, given, options.jobs, options.seed, options.ray, options.trust)
    except RunsFailedError as error:
        raise SystemExit(f"distill: {error}") from error


def search(options: argparse.Namespace) -> None:
    """Search a student's architecture."""
    from distill.bench import RunsFailedError
    from distill.search.runner import Machine, search

    path, given = options.search, options.overrides
    out = options.out or Path("runs") / _name(path)
    machine = Machine(options.jobs, options.ray, options.remeasure)
    try:
        search(path, out, None, given, machine, options.seed, options.trust)
    except RunsFailedError as error:
        raise SystemExit(f"distill: {error}") from error


def report(options: argparse.Namespace) -> None:
    """Write the page of a run, a bench or a sweep."""
    from distill.report import report

    page, text, _ = report(options.folder, options.out)
    sys.stdout.write(f"{page}\n{text}\n")


def augment_show(options: argparse.Namespace) -> None:
    """Draw a recipe's augmentations."""
    from distill.tools.preview import preview

    if options.out.suffix != ".png":
        raise RecipeError("--out", f"must end in .png, got {options.out}")
    for name in ("rows", "views"):
        if (number := getattr(options, name)) < 1:
            raise RecipeError(f"--{name}", f"must be at least 1, got {number}")
    sheet = preview(_recipe(options), options.rows, options.views, options.trust)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(options.out)
    sys.stdout.write(f"{options.out}\n")


def ls(options: argparse.Namespace) -> None:
    """List the recipes whose name or title has a word; in a terminal, by data set."""
    titles = {name: _title(name) for name in recipes.names()}
    word = options.word.lower()
    found = [name for name in titles if word in f"{name} {titles[name]}".lower()]
    if not found:
        hint = nearest(options.word[:80], titles)
        raise RecipeError(short(options.word), f"no recipe has this in its name or title{hint}")
    before = ""
    for name in found:
        folder, _, short_name = name.rpartition("/")
        if folder != before and sys.stdout.isatty():
            of_it = sum(other.startswith(f"{folder}/") for other in found)
            sys.stdout.write(f"{folder} ({of_it})\n")
        shown = f"  {folder}/{short_name}" if sys.stdout.isatty() else name
        sys.stdout.write(f"{shown:42} {titles[name]}\n")
        before = folder


def _title(name: str) -> str:
    return (recipes.root() / f"{name}.yaml").read_text().split("\n", 1)[0].lstrip("# ")


def show(options: argparse.Namespace) -> None:
    """Print a recipe."""
    sys.stdout.write(recipes.find(options.name).read_text())


def copy(options: argparse.Namespace) -> None:
    """Copy a recipe."""
    sys.stdout.write(f"{recipes.copy(options.name, options.file)}\n")


def _warm_started(recipe: Recipe, run_dir: Path) -> Recipe:
    from distill.runs.directory import read_finished

    if recipe.staged:
        raise RecipeError("--warm_start", "takes a recipe without stages: those hand weights on")
    read_finished(run_dir)
    return recipe.with_callback("distill.callbacks.WarmStart", run_dir=str(run_dir))


def _recipe(options: argparse.Namespace) -> Recipe:
    return Recipe(recipes.load(recipes.find(options.recipe), options.overrides))


def _name(path: Path) -> str:
    return recipes.name_of(path)


def _run_dir(name: str, seed: int) -> Path:
    """A directory of the run's own; that of the first process in those that it starts."""
    from distill.core.rank import first_process

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
