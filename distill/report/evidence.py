"""Sections that the reports of runs, benches and sweeps share."""

from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image

from distill.report.blocks import Block, Chart, Code, Section, Table
from distill.report.curves import loss_charts
from distill.report.disagreement import disagreement_section
from distill.report.numbers import DASH, capitalized, number, percent, short
from distill.report.style import WIDTH, axes
from distill.report.tradeoff import Point, tradeoff_charts
from distill.results.predictions import Predictions
from distill.results.scores import scores_of
from distill.results.study import FinishedRun, label_of_all

_ADVICE = (
    "Agreement: the share of validation images on which both networks give the same class. KL: of"
    " the student's probabilities from the teacher's, in nats, at temperature 1. Calibration error:"
    " the mean gap between confidence and accuracy over 15 bins. Last epoch, mean over seeds."
)


def loss_section(runs: Mapping[str, Sequence[FinishedRun]]) -> Section | None:
    """Chart the losses in training; None if no loss was logged."""
    charts = loss_charts(runs)
    text = "Value of each loss in training"
    several = any(len(found) > 1 for found in runs.values())
    text += ", mean over seeds; the band spans the lowest and highest." if several else "."
    return Section("Losses", text, charts) if charts else None


def cost_section(
    points: Sequence[Point], images: str, runs: Mapping[str, Sequence[FinishedRun]]
) -> Section | None:
    """Chart the headline figure against each known cost; None if no cost is known."""
    label = label_of_all(runs)
    charts = tradeoff_charts(points, images, label)
    text = "The diamond is the teacher. Costs are on a logarithmic scale."
    return Section(f"{capitalized(label)} against cost", text, charts) if charts else None


def diagnostics_section(runs: Mapping[str, Sequence[FinishedRun]]) -> Section | None:
    """Tabulate agreement, divergence and calibration; None for runs that were not measured."""
    rows = []
    for name, found in runs.items():
        cells = _cells([run.result.get("diagnostics") or {} for run in found])
        if any(cell != DASH for cell in cells):  # text lines have figures of their own
            rows.append((name, *cells))
    if not rows:
        return None
    header = (
        "method",
        "agreement with teacher",
        "KL to teacher (nats)",
        "calibration error, student",
        "calibration error, teacher",
    )
    blocks: list[Block] = [Table("Student beside teacher on the validation images.", header, rows)]
    blocks += _on_demand(runs)
    return Section("What the student took over", _ADVICE, blocks)


def networks_table(run: FinishedRun) -> Table:
    """Tabulate size, speed and accuracy of student and teacher in one run."""
    rows = []
    for name in ("teacher", "student"):
        network = run.result.get(name)
        if network:
            scores = scores_of(run.result, name)
            accuracies = [percent(scores.get(s, {}).get("last")) for s in ("val", "test")]
            size = f"{network['parameters']:,}", short(network.get("flops"))
            speed = number(network.get("cpu_latency_ms"))
            rows.append((f"{name} ({network['class']})", *accuracies, *size, speed))
    header = ("network", "validation", "test", "parameters", "FLOPs", "CPU latency (ms)")
    threads = run.result.get("cpu_threads")
    suffix = f", {threads} thread{'s' if threads != 1 else ''}" if threads else ""
    caption = (
        "Accuracies after the last epoch. FLOPs per image count two per multiply-add; latency is"
        f" the median at batch size 1 in this run{suffix}."
    )
    return Table(caption, header, rows)


def difference_pictures(runs: Sequence[FinishedRun], method: str) -> Section | None:
    """Show where the students of a method differ from their teachers or labels."""
    kept: list[Predictions] = [run.predictions for run in runs if run.predictions is not None]
    if not kept:
        return None
    return disagreement_section(kept, runs[0].result["dataset"]["classes"], method)


def side_by_side(runs: Sequence[FinishedRun]) -> Section | None:
    """Show what labels and networks say of some validation images, in the first run that drew."""
    sheet = next((run.sheet for run in runs if run.sheet is not None), None)
    if sheet is None:
        return None
    try:
        with Image.open(sheet, formats=["PNG"]) as image:
            pixels = np.asarray(image.convert("RGB"))
    except (OSError, ValueError, SyntaxError):
        return None
    figure, plot = axes(WIDTH * pixels.shape[0] / pixels.shape[1])
    plot.imshow(pixels, interpolation="auto")  # smooth: thin lines survive being made smaller
    plot.axis("off")
    caption = "The first validation images, and what is said of them after the last epoch."
    chart = Chart("side_by_side", caption, "Images with masks or boxes drawn in them.", figure)
    return Section("Side by side", "", [chart])


def recipe_section(runs: Mapping[str, Sequence[FinishedRun]]) -> Section:
    """List data, device, versions and the resolved recipes."""
    run = next(found[0] for found in runs.values() if found)
    result = run.result
    images = ", ".join(f"{n:,} {name}" for name, n in result["dataset"]["images"].items())
    versions = ", ".join(f"{name} {version}" for name, version in result["versions"].items())
    text = (
        f"{result['dataset']['class']}: {images} images, {len(result['dataset']['classes'])}"
        f" classes. {result['epochs']} epochs, {result['steps']:,} steps on {result['device']}"
        f" ({result['precision']}). {versions}. Each recipe below is complete: save it as a file"
        " and run it with: distill fit FILE."
    )
    codes = [Code(name, found[0].config) for name, found in runs.items() if found]
    return Section("How it was made", text, [code for code in codes if code.text])


def _cells(values: Sequence[Mapping[str, float]]) -> tuple[str, ...]:
    keys = (
        "agreement",
        "kl_to_teacher_nats",
        "student_calibration_error",
        "teacher_calibration_error",
    )
    known = [[one[key] for one in values if key in one] for key in keys]
    means = [sum(found) / len(found) if found else None for found in known]
    agreement = DASH if means[0] is None else f"{100 * means[0]:.2f} %"
    return (agreement, *(number(mean, 3) for mean in means[1:]))


def _on_demand(runs: Mapping[str, Sequence[FinishedRun]]) -> list[Block]:
    titles = {
        "cka": ("Linear CKA between stages: 1 where both see the images alike.", "stage"),
        "gradient_cosine": ("Cosine between the task's gradient and each other term's.", "term"),
    }
    blocks: list[Block] = []
    for key, (caption, what) in titles.items():
        rows = [
            (name, place, number(value, 3))
            for name, found in runs.items()
            if found
            for place, value in (found[0].result.get("diagnostics") or {}).get(key, {}).items()
        ]
        if rows:
            blocks.append(Table(f"{caption} First seed.", ("method", what, "value"), rows))
    return blocks
