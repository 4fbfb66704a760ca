"""The report of a sweep: the best parameters, and the influence of each."""

from collections.abc import Sequence
from typing import Any

from distill.report.blocks import Chart, Figure, Page, Section, Table, titled
from distill.report.curves import accuracy_chart
from distill.report.evidence import diagnostics_section, difference_pictures, recipe_section
from distill.report.numbers import DASH
from distill.report.style import FAINT, axes, color
from distill.results.compare import Row
from distill.results.ranking import Metric, best_first
from distill.results.study import Study, read_metric

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
_ENDS = {"finished": "finished", "stopped": "were stopped early"}


def sweep_page(study: Study) -> Page:
    """Make the report of a sweep."""
    metric, title = read_metric(study.folder), titled("Sweep", study.folder)
    ranked = [row for row in best_first(study.rows, metric) if row["value"] is not None]
    parameters = [key for key in study.rows[0] if key not in _RESULTS]
    if not ranked:
        text = "No trial reached a value of the metric."
        return Page(title, [text], [], [])
    best = str(ranked[0]["trial"])
    runs = {best: study.runs[best]} if study.runs[best] else {}
    shown = {f"trial {name}": found for name, found in runs.items()}
    chart = accuracy_chart(shown, None)
    sections = [
        Section(
            "Trials",
            _text(study.rows, ranked, metric),
            [_table(ranked, parameters), _course(ranked, metric)],
        ),
        Section("The metric against each parameter", _ADVICE, _against(ranked, parameters)),
        Section("The best trial over its epochs", "", [chart]) if chart else None,
        diagnostics_section(shown),
        difference_pictures(runs[best], f"trial {best}") if runs else None,
        recipe_section(shown) if runs else None,
    ]
    kept = [section for section in sections if section is not None]
    return Page(title, _answer(study.rows, ranked, parameters), _figures(study.rows, ranked), kept)


_ADVICE = (
    "One dot per trial; the best is filled. Where the dots show no slope, the parameter hardly"
    " mattered in this range, or others hid what it did."
)


def _came_as_far(ranked: Sequence[Row]) -> list[Row]:
    """Select the trials that compare with the best: finished ones, unless all stopped early."""
    return [row for row in ranked if row["state"] == ranked[0]["state"]]


def _answer(rows: Sequence[Row], ranked: Sequence[Row], parameters: Sequence[str]) -> list[str]:
    best, *others = _came_as_far(ranked)
    settings = ", ".join(f"{name} = {_cell(best.get(name))}" for name in parameters)
    sentences = [
        f"Trial {best['trial']} did best: {best['value']:.4g} in its last epoch, with {settings}."
    ]
    if others:
        sentences.append(
            f"The next best reached {others[0]['value']:.4g}, the worst {others[-1]['value']:.4g}."
        )
    sentences.append(
        f"A trial is one seed, and the best of {len(rows)} is partly luck: run it again on fresh"
        " seeds with distill bench before believing its figure."
    )
    return sentences


def _figures(rows: Sequence[Row], ranked: Sequence[Row]) -> list[Figure]:
    states = [str(row.get("state") or "finished") for row in rows]
    counts = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))
    seconds = sum(row.get("wall_s") or 0 for row in rows)
    return [
        Figure("best value", f"{ranked[0]['value']:.4g}", f"trial {ranked[0]['trial']}"),
        Figure("trials", str(len(rows)), counts),
        Figure("training time", f"{seconds / 60:.0f} min", "all trials together"),
    ]


def _text(rows: Sequence[Row], ranked: Sequence[Row], metric: Metric) -> str:
    better = "smaller" if metric.goal == "minimize" else "larger"
    left = len(rows) - len(ranked)
    text = f"{metric.name} in the last epoch; {better} is better."
    if len(_came_as_far(ranked)) < len(ranked):
        text += " Trials that were stopped early come after all that finished."
    return f"{text} Diverged, without a value: {left}." if left else text


def _table(ranked: Sequence[Row], parameters: Sequence[str]) -> Table:
    rows = [
        (
            f"trial {row['trial']}",
            f"{row['value']:.4g}",
            row["state"],
            *(_cell(row.get(name)) for name in parameters),
        )
        for row in ranked[:_MOST_ROWS]
    ]
    caption = f"The best {len(rows)} of {len(ranked)} trials."
    return Table(caption, ("trial", "value", "state", *parameters), rows)


def _course(ranked: Sequence[Row], metric: Metric) -> Chart:
    figure, plot = axes(2.8)
    as_far = sorted(_came_as_far(ranked), key=lambda row: row["trial"])
    values = [row["value"] for row in as_far]
    so_far = [metric.best(values[: place + 1]) for place in range(len(values))]
    plot.plot(
        [row["trial"] for row in ranked],
        [row["value"] for row in ranked],
        "o",
        color=FAINT,
        markersize=5,
    )
    plot.step([row["trial"] for row in as_far], so_far, where="post", color=color(0))
    plot.xaxis.get_major_locator().set_params(integer=True)
    plot.set_xlabel("trial")
    plot.set_ylabel("value")
    alt = f"Values of {len(ranked)} trials; the best so far ends at {so_far[-1]:.4g}."
    caption = f"Each trial's value, and the best so far of those that {_ENDS[ranked[0]['state']]}."
    return Chart("trials", caption, alt, figure)


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
    plot.plot(places, values, "o", color=color(0), markersize=6, fillstyle="none")
    plot.plot(places[:1], values[:1], "o", color=color(0), markersize=6)
    plot.set_xlabel(name)
    plot.set_ylabel("value")
    best, worst = (_cell(row[name]) for row in (known[0], known[-1]))
    alt = f"Scatter plot. The best trial has {name} = {best}, the last in rank {worst}."
    return Chart(f"parameter_{name}", f"{name}", alt, figure)


def _cell(value: object) -> str:
    return DASH if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
