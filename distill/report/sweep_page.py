"""The report of a sweep: which parameters did best, and how much each seems to matter."""

from collections.abc import Sequence
from typing import Any

from distill.bench.comparison import Row
from distill.report.blocks import Chart, Figure, Page, Section, Table
from distill.report.curves import accuracy_chart
from distill.report.evidence import diagnostics_section, difference_pictures, recipe_section
from distill.report.numbers import DASH
from distill.report.study import Study
from distill.report.style import FAINT, axes, colour

_RESULTS = (
    "trial",
    "state",
    "epochs",
    "value",
    "best",
    "test_last",
    "test_best",
    "wall_s",
    "run_dir",
)
_MOST_ROWS = 10


def sweep_page(study: Study) -> Page:
    """Everything that a sweep found."""
    ranked = _ranked(study.rows)
    parameters = [key for key in study.rows[0] if key not in _RESULTS]
    if not ranked:
        text = "No trial reached a value of the metric."
        return Page(f"Sweep {study.folder.resolve().name}", [text], [], [])
    best = str(ranked[0]["trial"])
    runs = {best: study.runs[best]} if study.runs[best] else {}
    shown = {f"trial {name}": found for name, found in runs.items()}
    chart = accuracy_chart(shown, None)
    sections = [
        Section(
            "Trials",
            _text(study.rows, ranked),
            [_table(ranked, parameters), _course(study.rows, ranked)],
        ),
        Section("The metric against each parameter", _ADVICE, _against(ranked, parameters)),
        Section("The best trial over its epochs", "", [chart]) if chart else None,
        diagnostics_section(shown),
        difference_pictures(runs[best], f"trial {best}") if runs else None,
        recipe_section(shown) if runs else None,
    ]
    kept = [section for section in sections if section is not None]
    title = f"Sweep {study.folder.resolve().name}"
    return Page(title, _answer(study.rows, ranked, parameters), _figures(study.rows, ranked), kept)


_ADVICE = (
    "One dot per trial; the best is filled. Where the dots show no slope, the parameter hardly"
    " mattered in this range, or others hid what it did."
)


def _ranked(rows: Sequence[Row]) -> list[Row]:
    """Trials with a value, the best first."""
    known = [row for row in rows if isinstance(row.get("value"), (int, float))]
    return sorted(known, key=lambda row: row["value"], reverse=not _smaller_is_better(known))


def _smaller_is_better(rows: Sequence[Row]) -> bool:
    """Whether any trial's best value is below its last: the table does not name the goal."""
    return any(row["best"] < row["value"] for row in rows if row.get("best") is not None)


def _answer(rows: Sequence[Row], ranked: Sequence[Row], parameters: Sequence[str]) -> list[str]:
    best = ranked[0]
    chosen = ", ".join(f"{name} = {_cell(best.get(name))}" for name in parameters)
    told = [
        f"Trial {best['trial']} did best: {best['value']:.4g} in its last epoch, with {chosen}."
    ]
    if len(ranked) > 1:
        told.append(
            f"The next best reached {ranked[1]['value']:.4g}, the worst {ranked[-1]['value']:.4g}."
        )
    told.append(
        f"A trial is one seed, and the best of {len(rows)} is partly luck: run it again on fresh"
        " seeds with distill bench before believing its figure."
    )
    return told


def _figures(rows: Sequence[Row], ranked: Sequence[Row]) -> list[Figure]:
    states = [str(row.get("state") or "finished") for row in rows]
    told = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))
    seconds = sum(row.get("wall_s") or 0 for row in rows)
    return [
        Figure("best value", f"{ranked[0]['value']:.4g}", f"trial {ranked[0]['trial']}"),
        Figure("trials", str(len(rows)), told),
        Figure("training time", f"{seconds / 60:.0f} min", "all trials together"),
    ]


def _text(rows: Sequence[Row], ranked: Sequence[Row]) -> str:
    goal = "smaller" if _smaller_is_better(ranked) else "larger"
    left = len(rows) - len(ranked)
    text = f"The metric's value in the last epoch; {goal} is better."
    return f"{text} Diverged, without a value: {left}." if left else text


def _table(ranked: Sequence[Row], parameters: Sequence[str]) -> Table:
    rows = [
        (f"trial {row['trial']}", f"{row['value']:.4g}", *(_cell(row.get(p)) for p in parameters))
        for row in ranked[:_MOST_ROWS]
    ]
    caption = f"The best {len(rows)} of {len(ranked)} trials."
    return Table(caption, ("trial", "value", *parameters), rows)


def _course(rows: Sequence[Row], ranked: Sequence[Row]) -> Chart:
    figure, plot = axes(2.8)
    known = sorted(ranked, key=lambda row: row["trial"])
    trials = [row["trial"] for row in known]
    values = [row["value"] for row in known]
    better = min if _smaller_is_better(ranked) else max
    so_far = [better(values[: place + 1]) for place in range(len(values))]
    plot.plot(trials, values, "o", color=FAINT, markersize=5)
    plot.step(trials, so_far, where="post", color=colour(0))
    plot.xaxis.get_major_locator().set_params(integer=True)
    plot.set_xlabel("trial")
    plot.set_ylabel("value")
    alt = f"Values of {len(known)} trials; the best so far ends at {so_far[-1]:.4g}."
    return Chart("trials", "Each trial's value, and the best so far.", alt, figure)


def _against(ranked: Sequence[Row], parameters: Sequence[str]) -> list[Chart]:
    return [
        _scatter(ranked, name)
        for name in parameters
        if len({_cell(row.get(name)) for row in ranked}) > 1
    ]


def _scatter(ranked: Sequence[Row], name: str) -> Chart:
    figure, plot = axes(2.6)
    known = [row for row in ranked if row.get(name) is not None]
    places: list[Any] = [row[name] for row in known]
    if any(isinstance(place, str) for place in places):
        places = [str(place) for place in places]
    elif min(places) > 0 and max(places) / min(places) >= 30:
        plot.set_xscale("log")
        plot.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    values = [row["value"] for row in known]
    plot.plot(places, values, "o", color=colour(0), markersize=6, fillstyle="none")
    plot.plot(places[:1], values[:1], "o", color=colour(0), markersize=6)
    plot.set_xlabel(name)
    plot.set_ylabel("value")
    best, worst = (_cell(row[name]) for row in (known[0], known[-1]))
    alt = f"Scatter plot. The best trial has {name} = {best}, the worst {worst}."
    return Chart(f"parameter_{name}", f"{name}", alt, figure)


def _cell(value: object) -> str:
    return DASH if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
