"""A search as a file: a recipe, a space of designs, a strategy, limits, and what is claimed how."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import distill.search as strategies
from distill.bench.sweep.command import Command
from distill.bench.sweep.space import read_parameters
from distill.bench.sweep.spec import Sweep, read_metric
from distill.core.class_paths import resolve
from distill.core.echo import short, shown
from distill.core.errors import RecipeError
from distill.core.suggest import nearest
from distill.core.trust import TRUSTED
from distill.core.walk import Walk
from distill.recipes import read
from distill.results.ranking import Metric
from distill.search.evaluation_keys import check_class, check_evaluation, read_supernet
from distill.search.evaluations import Blockwise, Evaluation, Inherited, Trained
from distill.search.space import Joint
from distill.search.strategies.derived import Derived
from distill.search.strategy import Strategy
from distill.search.supernet_keys import read_seeds
from distill.search.zero_cost import Proxy, ZeroCost

Tree = dict[str, Any]
COSTS = ("parameters", "flops", "latency_ms")
COMPARISONS = ("kl_to_teacher_nats", "agreement")
_KEYS = (
    *("recipe", "overrides", "space", "parameters", "constraints", "metric", "objectives"),
    *("strategy", "trials", "parallel", "prefilter", "finals", "supernet", "seeds", "evaluation"),
)
_SPACE = ("architecture", "key", "costs")
_NO_STRATEGIES = (Trained, Inherited, Blockwise, ZeroCost)


@dataclass(frozen=True)
class Finals:
    """Who is trained anew with fresh seeds.

    Attributes:
        against: The student made by hand, a class path with its arguments; None: the recipe's own.
        seeds: Each design is trained with each of them.
        top: How many of the search's best designs.
        random: How many random designs within the limits.
        overrides: ``dotted.key: value`` for all of them, after the search's own.
        tune: Trials of TPE over the parameters for each of them, the hand-made one too; 0: none.
    """

    seeds: list[int]
    against: Tree | str | None = None
    top: int = 3
    random: int = 2
    overrides: Tree = field(default_factory=dict)
    tune: int = 0


@dataclass(frozen=True)
class Prefilter:
    """How many designs are drawn for each candidate, of which the best by a proxy is evaluated.

    Attributes:
        designs: How many.
        proxy: What :class:`distill.search.ZeroCost` scores them by.
    """

    designs: int
    proxy: Proxy = "gradient_norm"


@dataclass(frozen=True)
class Limits:
    """What a design may cost at most; None: no limit.

    Attributes:
        parameters: Weights.
        flops: Of one image, two per multiply-add.
        latency_ms: Predicted milliseconds of a batch on one thread.
        batch: Images of the batch of ``latency_ms``.
    """

    parameters: float | None = None
    flops: float | None = None
    latency_ms: float | None = None
    batch: int = 1

    def exceeded(self, costs: Mapping[str, float]) -> str | None:
        """The first cost that is above its limit."""
        limits = {name: getattr(self, name) for name in COSTS}
        over = (n for n, most in limits.items() if most is not None and costs[n] > most)
        return next(over, None)


@dataclass(frozen=True)
class SearchFile:
    """A search file, checked.

    Attributes:
        sweep: The recipe, its overrides, the metric and the number of trials.
        space: The designs, joined with the parameters.
        limits: What a design may cost.
        objectives: The metric and costs with their goals, in order; the metric alone is first.
        strategy: What proposes designs.
        parallel: Trial n depends on the outcomes of trials 0 .. n - parallel.
        finals: Who is trained anew; None: nobody.
        prefilter: What chooses among several designs for a candidate; None: there is one.
        written: The file's content as text, for its digest.
        supernet: The ``recipe`` of supernets, with ``overrides``; empty where there are none.
        evaluation: How a candidate gets its value.
        seeds: Of supernets that designs are derived from, one each.
    """

    sweep: Sweep
    space: Joint
    limits: Limits
    objectives: dict[str, str]
    strategy: Strategy | Derived
    parallel: int
    finals: Finals | None
    prefilter: Prefilter | None
    written: str
    supernet: Tree = field(default_factory=dict)
    evaluation: Evaluation = field(default_factory=Trained)
    seeds: list[int] = field(default_factory=list)

    @property
    def needs_latency(self) -> bool:
        """Whether a design's latency matters."""
        return self.limits.latency_ms is not None or "latency_ms" in self.objectives


def read_search(path: Path, trusted: tuple[str, ...] = ()) -> SearchFile:
    """Read a search file; of the classes it names, the space and the strategy are made.

    Raises:
        RecipeError: Naming the key that is wrong.
    """
    tree = read(path)
    for key in tree:
        if key not in _KEYS:
            raise RecipeError(f"{path}: {short(str(key))}", f"is not known{nearest(key, _KEYS)}")
    strategy = tree.get("strategy", "distill.search.Random")
    proposes = _object(f"{path}: strategy", strategy, (), _check_strategy)
    tree |= read_seeds(path, tree, isinstance(proposes, Derived))
    for key in ("recipe", "space", "metric", "trials"):
        if key not in tree:
            raise RecipeError(f"{path}: {key}", "is missing")
    recipe, trials = tree["recipe"], _count(f"{path}: trials", tree["trials"])
    if not isinstance(recipe, str):
        raise RecipeError(f"{path}: recipe", f"needs a file or a name, got {shown(recipe)}")
    overrides = _mapping(f"{path}: overrides", tree.get("overrides"))
    given = tree.get("parameters")
    parameters = read_parameters(f"{path}: parameters", given) if given is not None else {}
    metric = read_metric(f"{path}: metric", tree["metric"])
    written = tuple(f"{key}={json.dumps(value)}" for key, value in overrides.items())
    command = Command(recipe, written)
    kept = json.dumps(given or {}, default=str)
    sweep = Sweep("random", parameters, metric, trials, command, None, path.stem, None, kept)
    space = _object(f"{path}: space", tree["space"], trusted, _check_space)
    evaluation = _evaluation(path, tree, proposes)
    return SearchFile(
        sweep=sweep,
        space=Joint(space, parameters),
        limits=_limits(f"{path}: constraints", tree.get("constraints")),
        objectives=_objectives(f"{path}: objectives", tree.get("objectives"), metric),
        strategy=proposes,
        parallel=_count(f"{path}: parallel", tree.get("parallel", 1)),
        finals=_finals(f"{path}: finals", tree.get("finals"), sweep),
        prefilter=_prefilter(f"{path}: prefilter", tree.get("prefilter")),
        written=json.dumps({k: v for k, v in tree.items() if k != "finals"}, sort_keys=True),
        supernet=read_supernet(f"{path}: supernet", tree.get("supernet")),
        evaluation=evaluation,
        seeds=tree.get("seeds", []),
    )


def _object(key: str, given: object, trusted: tuple[str, ...], check: Any) -> Any:  # noqa: ANN401
    """Make the object of a class path, which ``check`` allows here."""
    spec = {"class_path": given} if isinstance(given, str) else given
    if not isinstance(spec, Mapping) or not {*spec} <= {"class_path", "init_args"}:
        raise RecipeError(key, f"needs class_path and init_args, got {shown(given)}")
    arguments = spec.get("init_args") or {}
    target = resolve(f"{key}.class_path", spec.get("class_path"), (*TRUSTED, *trusted))
    check(f"{key}.class_path", target)
    Walk((*TRUSTED, *trusted)).arguments(f"{key}.init_args", target, arguments)
    try:
        return target(**arguments)
    except RecipeError:
        raise
    except (ValueError, TypeError) as error:
        raise RecipeError(f"{key}.init_args", short(str(error), 200)) from error


def _evaluation(path: Path, tree: Tree, proposes: object) -> Evaluation:
    derives = isinstance(proposes, Derived)
    usual = Trained if derives or tree.get("supernet") is None else Inherited
    named = tree.get("evaluation", f"distill.search.{usual.__name__}")
    found: Evaluation = _object(f"{path}: evaluation", named, (), check_class)
    check_evaluation(path, tree, found, derives)
    return found


def _check_strategy(key: str, target: Any) -> None:  # noqa: ANN401 - a class or function
    offered = {name: getattr(strategies, name) for name in strategies.__all__}
    known = {name: one for name, one in offered.items() if one not in _NO_STRATEGIES}
    if target not in known.values():
        names = ", ".join(f"distill.search.{name}" for name in known)
        raise RecipeError(key, f"needs a strategy: {names}")


def _check_space(key: str, target: Any) -> None:  # noqa: ANN401 - a class or function
    if not isinstance(target, type) or not all(hasattr(target, name) for name in _SPACE):
        raise RecipeError(key, "needs a space of designs: a class with architecture, key and costs")


def _goal(key: str, given: object) -> Literal["maximize", "minimize"]:
    if given == "maximize":
        return "maximize"
    if given == "minimize":
        return "minimize"
    raise RecipeError(key, f"needs maximize or minimize, got {given!r}")


def _objectives(key: str, given: object, metric: Metric) -> dict[str, str]:
    named: dict[str, str] = {
        name: _goal(f"{key}.{name}", goal) for name, goal in _mapping(key, given).items()
    }
    for name in named:
        if name not in (metric.name, *COSTS):
            told = f"takes the metric {metric.name} and {', '.join(COSTS)}"
            raise RecipeError(f"{key}.{short(name)}", told)
    return {metric.name: str(metric.goal)} | named


def _limits(key: str, given: object) -> Limits:
    found: dict[str, Any] = {}
    for name, limit in _mapping(key, given).items():
        if name not in COSTS:
            raise RecipeError(f"{key}.{short(name)}", f"is not known{nearest(name, COSTS)}")
        words = ("max", "batch") if name == "latency_ms" else ("max",)
        limit = _mapping(f"{key}.{name}", limit)
        for word in limit:
            if word not in words:
                raise RecipeError(f"{key}.{name}.{word}", f"is not known{nearest(word, words)}")
        most = limit.get("max")
        if not isinstance(most, int | float) or isinstance(most, bool) or not most > 0:
            raise RecipeError(f"{key}.{name}.max", f"needs a number above 0, got {shown(most)}")
        found[name] = most
        if "batch" in limit:
            found["batch"] = _count(f"{key}.{name}.batch", limit["batch"])
    return Limits(**found)


def _finals(key: str, given: object, sweep: Sweep) -> Finals | None:
    if given is None:
        return None
    tree = _mapping(key, given)
    plain = {k: v for k, v in tree.items() if k not in ("against", "overrides")}
    Walk(TRUSTED).arguments(key, Finals, plain)
    finals = Finals(**{**tree, "overrides": _mapping(f"{key}.overrides", tree.get("overrides"))})
    if not finals.seeds or len(set(finals.seeds)) < len(finals.seeds):
        raise RecipeError(f"{key}.seeds", f"needs seeds, none twice, got {finals.seeds}")
    for name in ("top", "random"):
        if getattr(finals, name) < (name == "top"):
            raise RecipeError(f"{key}.{name}", f"is too small: {getattr(finals, name)}")
    if finals.tune < 0:
        raise RecipeError(f"{key}.tune", f"needs at least 0 trials, got {finals.tune}")
    if finals.tune and not (sweep.parameters and sweep.metric.name.startswith("val/")):
        raise RecipeError(f"{key}.tune", "needs parameters, and a metric of val/ to choose by")
    return finals


def _prefilter(key: str, given: object) -> Prefilter | None:
    if given is None:
        return None
    tree = _mapping(key, given)
    Walk(TRUSTED).arguments(key, Prefilter, tree)
    found = Prefilter(**tree)
    _count(f"{key}.designs", found.designs)
    return found


def _mapping(key: str, given: object) -> Tree:
    if given is None:
        return {}
    if not isinstance(given, Mapping) or not all(isinstance(name, str) for name in given):
        raise RecipeError(key, f"needs keys and values, got {shown(given)}")
    return dict(given)


def _count(key: str, given: object) -> int:
    if not isinstance(given, int) or isinstance(given, bool) or given < 1:
        raise RecipeError(key, f"needs a whole number of at least 1, got {shown(given)}")
    return given
