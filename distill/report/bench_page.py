"""The report of a bench: the best method, its advantage, its significance, its cost."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any

from distill.report.blocks import Block, Figure, Page, Section, Table, titled
from distill.report.curves import accuracy_chart
from distill.report.differences import difference_chart
from distill.report.evidence import (
    cost_section,
    diagnostics_section,
    difference_pictures,
    loss_section,
    networks_table,
    recipe_section,
    side_by_side,
)
from distill.report.numbers import DASH, percent, share, short, signed
from distill.report.tradeoff import Point
from distill.results.compare import MethodComparison, compare, headline, teacher_accuracy
from distill.results.numbers import p_value, plus_minus
from distill.results.study import FinishedRun, Study, label_of_all
from distill.results.weak_teacher import weak_in_bench

_MOST_DRAWN = 6
_LEVEL = 0.05


@dataclass(frozen=True)
class _Bench:
    """A bench and its comparisons.

    Attributes:
        study: Contents of its directory.
        compared: By method, in the order of the table.
        images: The split whose accuracies are compared: ``test`` or ``val``.
        baseline: The method that is compared with no other.
        best: The method with the best mean on the validation images.
        drawn: Baseline, best and a few of the next, in the order of their colors.
    """

    study: Study
    compared: dict[str, MethodComparison]
    images: str
    baseline: str
    best: str
    drawn: list[str]

    @property
    def runs(self) -> dict[str, list[FinishedRun]]:
        """Runs of the methods that are drawn."""
        return {name: self.study.runs[name] for name in self.drawn if self.study.runs[name]}

    def teacher(self, split: str) -> float | None:
        """Teacher's accuracy in percent, if there is a teacher."""
        return teacher_accuracy(self.study.rows, split)


def bench_page(study: Study) -> Page:
    """Make the report of a bench."""
    bench = _found(study)
    sections = [
        _comparison(bench),
        cost_section(_points(bench), _word(bench.images), study.runs),
        diagnostics_section(bench.study.runs),
        loss_section(bench.runs),
        difference_pictures(study.runs[bench.best], bench.best),
        side_by_side(study.runs[bench.best]),
        _recipes(bench),
    ]
    kept = [section for section in sections if section is not None]
    return Page(titled("Bench", study.folder), _answer(bench), _figures(bench), kept)


def _found(study: Study) -> _Bench:
    compared = {one.method: one for one in compare(study.rows)}
    by_validation = sorted(
        compared, key=lambda name: compared[name].accuracies["val_last"][0], reverse=True
    )
    baseline = next((name for name in compared if not compared[name].against), by_validation[-1])
    drawn = list(dict.fromkeys([baseline, *by_validation]))[:_MOST_DRAWN]
    images = headline(study.rows).removesuffix("_last")
    return _Bench(study, compared, images, baseline, by_validation[0], drawn)


def _answer(bench: _Bench) -> list[str]:
    best, images = bench.compared[bench.best], _word(bench.images)
    accuracy = plus_minus(*best.accuracies[f"{bench.images}_last"])
    seeds = len({row["seed"] for row in bench.study.rows if row["method"] == bench.best})
    over = f" (mean and standard deviation over {seeds} seeds)" if seeds > 1 else " (one seed)"
    lead = f"{bench.best} did best on the validation images: {accuracy} % on the {images} images"
    found = [*_how_sure(bench, best), *_against_the_baseline(bench, best)]
    weak = weak_in_bench(bench.study.rows)
    return [f"{lead}{over}.", *found, *_at_what_cost(bench), *weak]


def _how_sure(bench: _Bench, best: MethodComparison) -> list[str]:
    difference = best.difference
    if difference is None:
        return [f"No method did better than {bench.best}, which the others are compared with."]
    way = "below" if difference.mean < 0 else "above"
    sentence = f"That is {abs(difference.mean):.2f} points {way} {best.against}"
    if math.isnan(difference.low):
        return [f"{sentence}; one common seed does not show how sure that is."]
    interval = f"{signed(difference.low)} to {signed(difference.high)}"
    sentence += f", with a 95 % interval from {interval} over {best.seeds} paired seeds"
    n = sum(one.difference is not None for one in bench.compared.values())
    corrected = f"p = {p_value(best.p_holm)} after correction for {n} comparisons"
    if difference.low <= 0 <= difference.high:
        return [f"{sentence}.", f"The interval reaches 0: this may be chance ({corrected})."]
    if n == 1:
        return [f"{sentence} (p = {p_value(best.p)})."]
    if best.p_holm < _LEVEL:
        return [f"{sentence}.", f"Chance alone hardly gives that ({corrected})."]
    return [
        f"{sentence}.",
        "The interval excludes 0, but of so many comparisons one may do so by chance"
        f" ({corrected}): run more seeds to know.",
    ]


def _against_the_baseline(bench: _Bench, best: MethodComparison) -> list[str]:
    """Compare a method with the baseline where the bench compares it with another one."""
    if best.against in ("", bench.baseline):
        return []
    rows = [
        row | {"against": bench.baseline if row["method"] == best.method else ""}
        for row in bench.study.rows
        if row["method"] in (best.method, bench.baseline)
    ]
    difference = next(one.difference for one in compare(rows) if one.method == best.method)
    if difference is None:
        return []
    interval = f" ({signed(difference.low)} to {signed(difference.high)})"
    suffix = "" if math.isnan(difference.low) else interval
    return [f"Against {bench.baseline} it is {signed(difference.mean)} points{suffix}."]


def _at_what_cost(bench: _Bench) -> list[str]:
    runs = bench.study.runs[bench.best]
    sentences = []
    if runs:
        student, teacher = runs[0].result["student"], runs[0].result.get("teacher")
        size = f"Its student has {student['parameters']:,} parameters"
        if teacher:
            size += f", {share(student['parameters'], teacher['parameters'])} of the teacher's"
        latency = _costs(bench, student)["cpu_latency_ms"]
        if latency:
            size += f"; {short(student['flops'])}FLOPs and {latency:.2f} ms per image on a CPU"
        sentences.append(f"{size}.")
    seconds = {name: one.seconds for name, one in bench.compared.items()}
    if bench.best != bench.baseline and seconds[bench.baseline]:
        ratio = seconds[bench.best] / seconds[bench.baseline]
        took = f"Training took {seconds[bench.best]:.0f} s a run"
        sentences.append(f"{took}, {ratio:.1f} times as long as {bench.baseline}.")
    return sentences


def _figures(bench: _Bench) -> list[Figure]:
    best = bench.compared[bench.best]
    mean = best.accuracies[f"{bench.images}_last"][0]
    figures = [Figure(f"{bench.best}, {_word(bench.images)}", percent(mean), _note_teacher(bench))]
    if best.difference is not None:
        low, high = best.difference.low, best.difference.high
        note = "" if math.isnan(low) else f"{signed(low)} to {signed(high)} (95 %)"
        figures.append(
            Figure(f"against {best.against}", f"{signed(best.difference.mean)} points", note)
        )
    if not math.isnan(best.gap_closed):
        note = f"from {best.against} to the teacher"
        figures.append(Figure("gap closed", f"{100 * best.gap_closed:.0f} %", note))
    runs = bench.study.runs[bench.best]
    if runs:
        student = runs[0].result["student"]
        latency = _costs(bench, student)["cpu_latency_ms"]
        note = f"{latency:.2f} ms per image on a CPU" if latency else ""
        figures.append(Figure("student", f"{short(student['parameters'])} parameters", note))
    return figures


def _note_teacher(bench: _Bench) -> str:
    teacher = bench.teacher(bench.images)
    return "" if teacher is None else f"teacher {percent(teacher)}"


def _comparison(bench: _Bench) -> Section:
    images, rows = _word(bench.images), bench.study.rows
    text = (
        "Last epoch; differences are taken seed by seed on the"
        f" {images} images. The best method was chosen by the validation images"
    )
    text += (
        "; the test images are only reported."
        if bench.images == "test"
        else ", on which it is reported too: its figure is a little too good."
    )
    left_out = len(bench.compared) - len(bench.drawn)
    if left_out:
        best = len(bench.drawn) - 1
        text += (
            f" Curves show {bench.baseline} and the best {best}; {left_out} more are in the table."
        )
    charts = [
        difference_chart(rows, list(bench.compared.values()), label_of_all(bench.study.runs)),
        accuracy_chart(bench.runs, bench.teacher("val")),
    ]
    blocks: list[Block] = [_table(bench), *filter(None, charts)]
    return Section("Methods compared", text, blocks)


def _table(bench: _Bench) -> Table:
    rows = {name: _cells(one, bench) for name, one in bench.compared.items()}
    titles = list(next(iter(rows.values())))
    shown = [title for title in titles if any(row[title] != DASH for row in rows.values())]
    seeds = len({row["seed"] for row in bench.study.rows})
    over = "One seed" if seeds == 1 else f"Mean ± standard deviation over {seeds} seeds"
    caption = f"{over}, best epoch in brackets."
    caption += f" Differences to {bench.baseline}, in points." if len(rows) > 1 else ""
    cells = [(name, *(row[title] for title in shown)) for name, row in rows.items()]
    return Table(caption, ("method", *shown), cells)


def _cells(one: MethodComparison, bench: _Bench) -> dict[str, str]:
    """Make a method's row by column; a dash where nothing is known."""
    difference = interval = DASH
    if one.difference is not None:
        to_other = f" (to {one.against})" if one.against != bench.baseline else ""
        difference = f"{signed(one.difference.mean)}{to_other}"
        if not math.isnan(one.difference.low):
            interval = f"{signed(one.difference.low)} to {signed(one.difference.high)}"
    return {
        "test %": _spread(one, "test"),
        "difference": difference,
        "95 % interval": interval,
        "p (Holm)": DASH if math.isnan(one.p_holm) else p_value(one.p_holm),
        "gap closed": DASH if math.isnan(one.gap_closed) else f"{100 * one.gap_closed:.0f} %",
        "validation %": _spread(one, "val"),
        "s per run": f"{one.seconds:.1f}",
    }


def _spread(one: MethodComparison, split: str) -> str:
    if f"{split}_last" not in one.accuracies:
        return DASH
    best = one.accuracies[f"{split}_best"][0]
    return f"{plus_minus(*one.accuracies[f'{split}_last'])} ({best:.2f})"


def _points(bench: _Bench) -> list[Point]:
    points = []
    for place, name in enumerate(bench.drawn):
        one = bench.compared[name]
        runs = bench.study.runs[name]
        costs = _costs(bench, runs[0].result["student"]) if runs else {}
        accuracy = one.accuracies[f"{bench.images}_last"][0]
        points.append(Point(name, accuracy, costs | {"train_s": one.seconds}, place))
    accuracy_of_teacher = bench.teacher(bench.images)
    taught = [run.result["teacher"] for runs in bench.runs.values() for run in runs]
    teachers = [teacher for teacher in taught if teacher]
    if accuracy_of_teacher is not None and teachers:
        points.append(Point("teacher", accuracy_of_teacher, _costs(bench, teachers[0]), None))
    return points


def _costs(bench: _Bench, network: Mapping[str, Any]) -> dict[str, float | None]:
    """Look up a network's costs; latency is the median over all runs with the same network."""
    key = _key(network)
    networks = [
        run.result[name]
        for runs in bench.study.runs.values()
        for run in runs
        for name in ("student", "teacher")
        if run.result.get(name)
    ]
    known = [
        one["cpu_latency_ms"] for one in networks if _key(one) == key and one.get("cpu_latency_ms")
    ]
    latency = median(known) if known else None
    sizes = {cost: network.get(cost) for cost in ("parameters", "flops", "bops", "stored_bytes")}
    return sizes | {"cpu_latency_ms": latency}


def _key(network: Mapping[str, Any]) -> tuple[object, ...]:
    return network["class"], network["parameters"], network.get("flops")


def _recipes(bench: _Bench) -> Section | None:
    runs = {name: found for name, found in bench.study.runs.items() if found}
    if not runs:
        return None
    section = recipe_section(runs)
    shown = runs.get(bench.best) or next(iter(runs.values()))
    return Section(section.title, section.text, [networks_table(shown[0]), *section.blocks])


def _word(split: str) -> str:
    return "validation" if split == "val" else split
