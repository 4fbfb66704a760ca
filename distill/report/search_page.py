"""The report of a search: what its finals show, which designs no other beats, and the best one."""

import math
from collections.abc import Sequence

from scipy.stats import kendalltau

from distill.report.blocks import Block, Chart, Code, Figure, Page, Section, Table
from distill.report.numbers import DASH, number, short, signed
from distill.report.style import FAINT, axes, color
from distill.results.compare import MethodComparison, Row, compare, headline
from distill.results.numbers import p_value, plus_minus
from distill.results.ranking import Metric, best_first
from distill.results.study import SEARCH, Study, read_metric, read_study, remeasured

_BY_HAND, _TOP, _RANDOM = "by_hand", "top", "random"
_RESULTS = ("trial", "state", "parent", "value", "best_so_far", "wall_s", "run_dir")
_MOST_ROWS, _LEVEL = 10, 0.05
_CHANCE = (
    "A candidate is one seed, and the best of many is partly luck: the search's figures only make"
    " a short list, and what is claimed rests on the finals."
)


def search_page(study: Study) -> Page:
    """Make the report of a search."""
    metric = read_metric(study.folder, SEARCH)
    ranked = [row for row in best_first(study.rows, metric) if row["value"] is not None]
    title = f"Search {study.folder.resolve().name}"
    if not ranked:
        return Page(title, ["No candidate reached a value of the metric."], [], [])
    finals = study.folder / "finals"
    rows = read_study(finals).rows if (finals / "results.csv").is_file() else []
    compared = compare(rows) if rows else []
    slow = {row["design"]: row for row in remeasured(study.folder) if row["taken"] != "True"}
    best = study.folder / "best.yaml"
    code = [Code("best.yaml", best.read_text())] if best.is_file() else []
    sections = [
        Section("Finals", _finals_text(rows), [_finals(compared, rows)]) if rows else None,
        Section(
            "Candidates",
            f"{metric.name} of each candidate; limits were checked before training."
            + _proxy(ranked, metric),
            [_table(ranked), pareto_chart(ranked), _course(study.rows, metric)],
        ),
        Section("The best design as a recipe", "distill fit trains it from scratch.", code),
    ]
    kept = [section for section in sections if section is not None]
    answer = _answer([one for one in compared if one.method not in slow], rows, ranked)
    answer[1:1] = [_left_out(row) for row in slow.values()]
    return Page(title, answer, _figures(study.rows, ranked), kept)


def pareto_chart(ranked: Sequence[Row]) -> Chart:
    """Values against parameters; filled are the candidates that no smaller one equals.

    Args:
        ranked: Candidates with a value, the best first.
    """
    figure, plot = axes(2.8)
    front = [
        row
        for place, row in enumerate(ranked)
        if all(row["parameters"] < other["parameters"] for other in ranked[:place])
    ]
    for rows, look in ((ranked, "none"), (front, "full")):
        places = [row["parameters"] for row in rows]
        values = [row["value"] for row in rows]
        plot.plot(places, values, "o", color=color(0), markersize=6, fillstyle=look)
    plot.set_xscale("log")
    plot.set_xlabel("parameters")
    plot.set_ylabel("value")
    alt = f"Values of {len(ranked)} candidates against parameters, {len(front)} on the front."
    return Chart("pareto", "Filled: no smaller candidate is as good.", alt, figure)


def _answer(
    compared: Sequence[MethodComparison], rows: Sequence[Row], ranked: Sequence[Row]
) -> list[str]:
    by_name = {one.method: one for one in compared}
    tops = [one for one in compared if one.method.startswith(_TOP)]
    if not tops or _BY_HAND not in by_name:
        first = ranked[0]
        told = f"Candidate {first['trial']} did best in the search: {first['value']:.4g}."
        return [told, _CHANCE, "No finals were held, so nothing is claimed."]
    best = max(tops, key=lambda one: one.accuracies["val_last"][0])
    sentences = [_against_hand(best, headline(rows).removesuffix("_last"))]
    random = [one for one in compared if one.method.startswith(_RANDOM)]
    if random:
        gap = best.accuracies["val_last"][0] - max(r.accuracies["val_last"][0] for r in random)
        told = f"it is {signed(gap)} points from the best of {len(random)} random designs"
        sentences.append(f"On validation images {told} of the same space.")
    return [*sentences, *_order(tops, ranked), _CHANCE]


def _left_out(row: dict[str, str]) -> str:
    told = f"measured again it takes {row['latency_ms']} ms, the limit is {row['limit_ms']}"
    return f"{row['design'].capitalize()} is left out: {told}."


def _against_hand(best: MethodComparison, split: str) -> str:
    found = best.difference
    if found is None or math.isnan(found.low):
        return f"{best.method} is the best of the finals, on one seed: it may be chance."
    interval = f"{signed(found.low)} to {signed(found.high)}"
    points = f"{signed(found.mean)} points ({interval}, 95 %) on the {split} images"
    if best.p_holm >= _LEVEL or found.low <= 0 <= found.high:
        return f"{best.method} differs from the hand-made student by {points}: it may be chance."
    if found.mean > 0:
        return f"{best.method}, chosen on validation images, beats the hand-made student: {points}."
    return f"The hand-made student beats {best.method}, the search's best: {points}."


def _order(tops: Sequence[MethodComparison], ranked: Sequence[Row]) -> list[str]:
    """Whether the search's values order the finalists."""
    if len(tops) < 3:
        return []
    places = [-int(one.method.removeprefix(_TOP)) for one in tops]
    tau = float(kendalltau(places, [one.accuracies["val_last"][0] for one in tops]).statistic)
    verb = "orders" if tau >= 0.6 else "does not order"
    return [f"The search's value {verb} its {len(tops)} finalists: Kendall's tau {number(tau)}."]


def _proxy(ranked: Sequence[Row], metric: Metric) -> str:
    """How well the score that chose among designs orders those that were trained."""
    if len(ranked) < 3 or ranked[0].get("score") is None:
        return ""
    sign = 1 if metric.goal == "maximize" else -1
    values = [sign * row["value"] for row in ranked]
    score, flops = (
        float(kendalltau([row[name] for row in ranked], values).statistic)
        for name in ("score", "flops")
    )
    return (
        f" The score that chose among designs orders them with Kendall's tau {number(score)},"
        f" FLOPs with {number(flops)}."
    )


def _figures(rows: Sequence[Row], ranked: Sequence[Row]) -> list[Figure]:
    seconds = sum(row.get("wall_s") or 0 for row in rows)
    left, time = len(rows) - len(ranked), f"{seconds / 60:.0f} min"
    return [
        Figure("best value", f"{ranked[0]['value']:.4g}", f"candidate {ranked[0]['trial']}"),
        Figure("its parameters", short(ranked[0]["parameters"]), f"{ranked[0]['flops']:,} FLOPs"),
        Figure("candidates", str(len(rows)), f"{left} diverged" if left else ""),
        *([Figure("training time", time, "all candidates together")] if seconds else []),
    ]


def _finals_text(rows: Sequence[Row]) -> str:
    seeds = len({row["seed"] for row in rows})
    split = headline(rows).removesuffix("_last")
    return (
        f"Trained anew with {seeds} fresh seeds, paired with the hand-made student on the {split}"
        " images; distill report on the folder finals has more."
    )


def _finals(compared: Sequence[MethodComparison], rows: Sequence[Row]) -> Table:
    column = headline(rows)
    header = ("student", "val %", f"{column.removesuffix('_last')} %", "difference", "p (Holm)")
    found = []
    for one in compared:
        gap = one.difference
        known = gap is not None and not math.isnan(gap.low)
        interval = f" ({signed(gap.low)} to {signed(gap.high)})" if gap and known else ""
        p = DASH if math.isnan(one.p_holm) else p_value(one.p_holm)
        means = [plus_minus(*one.accuracies[name]) for name in ("val_last", column)]
        found.append((one.method, *means, f"{signed(gap.mean)}{interval}" if gap else DASH, p))
    return Table("Mean and standard deviation; difference to the hand-made student.", header, found)


def _table(ranked: Sequence[Row]) -> Block:
    names = [key for key in ranked[0] if key not in _RESULTS]
    rows = [
        (f"{row['trial']}", f"{row['value']:.4g}", *(_cell(row[name]) for name in names))
        for row in ranked[:_MOST_ROWS]
    ]
    caption = f"The best {len(rows)} of {len(ranked)} candidates."
    return Table(caption, ("trial", "value", *names), rows)


def _course(rows: Sequence[Row], metric: Metric) -> Chart:
    figure, plot = axes(2.6)
    known = [row for row in rows if row["value"] is not None]
    numbers, values = [row["trial"] for row in known], [row["value"] for row in known]
    plot.plot(numbers, values, "o", color=FAINT, markersize=5)
    so_far = [metric.best(values[: place + 1]) for place in range(len(values))]
    plot.step(numbers, so_far, where="post", color=color(0))
    plot.plot(numbers, expected(values, metric), "--", color=color(1))
    plot.xaxis.get_major_locator().set_params(integer=True)
    plot.set_xlabel("trial")
    plot.set_ylabel("value")
    caption = "Best so far; dashed, its expectation had the same candidates come in random order."
    return Chart("course", caption, f"The best so far ends at {so_far[-1]:.4g}.", figure)


def expected(values: Sequence[float], metric: Metric) -> list[float]:
    """The expected best of 1, 2, ... values drawn without replacement.

    Example:
        >>> expected([1.0, 2.0], Metric("a", "maximize"))
        [1.5, 2.0]
    """
    ordered = sorted(values, reverse=metric.goal == "maximize")
    found, n = [], len(values)
    for drawn in range(1, n + 1):
        left, mean = 1.0, 0.0  # left: the chance that no better value was drawn
        for place, value in enumerate(ordered):
            chance = min(1.0, drawn / (n - place))
            mean += left * chance * value
            left *= 1 - chance
        found.append(mean)
    return found


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return DASH if value is None else str(value)
