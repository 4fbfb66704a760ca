"""The report of one run: how good the student is, beside its teacher, and at what cost."""

from distill.report.blocks import Figure, Page, Section
from distill.report.curves import accuracy_chart
from distill.report.evidence import (
    cost_section,
    diagnostics_section,
    difference_pictures,
    loss_section,
    networks_table,
    recipe_section,
)
from distill.report.numbers import number, percent, share, short
from distill.report.tradeoff import COSTS, Point
from distill.results.study import Run, Study


def run_page(study: Study) -> Page:
    """Everything that a run left."""
    ((name, (run,)),) = study.runs.items()
    runs = {"student": [run]}
    teacher = (run.result["teacher"] or {}).get("top1", {}).get("val", {}).get("last")
    chart = accuracy_chart(runs, teacher)
    sections = [
        Section("Student and teacher", "", [networks_table(run)]),
        Section("Accuracy over the epochs", "", [chart]) if chart else None,
        cost_section(_points(run), _split(run)),
        diagnostics_section(runs),
        loss_section(runs),
        difference_pictures([run], name),
        recipe_section({name: [run]}),
    ]
    kept = [section for section in sections if section is not None]
    return Page(f"Run {name}, seed {run.result['seed']}", _answer(run), _figures(run), kept)


def _answer(run: Run) -> list[str]:
    student, teacher = run.result["student"], run.result["teacher"]
    split = _split(run)
    key = "val" if split == "validation" else split
    last = student["top1"].get(key, {}).get("last")
    told = [
        f"After {run.result['epochs']} epochs the student gets {percent(last)} of the {split}"
        " images right"
    ]
    if teacher:
        size = share(student["parameters"], teacher["parameters"])
        told[0] += f"; its teacher gets {percent(teacher['top1'].get(key, {}).get('last'))}"
        told.append(f"It has {student['parameters']:,} parameters, {size} of the teacher's.")
        agreement = (run.result.get("diagnostics") or {}).get("agreement")
        if agreement is not None:
            told.append(
                f"Both say the same of {percent(100 * agreement)} of the validation images."
            )
    told[0] += "."
    told.append("One run has no spread: compare methods over seeds with distill bench.")
    return told


def _figures(run: Run) -> list[Figure]:
    result = run.result
    figures = []
    for split, word in (("test", "test"), ("val", "validation")):
        top1 = result["student"]["top1"].get(split)
        if top1:
            best = f"best epoch {percent(top1['best'])}"
            figures.append(Figure(f"student, {word}", percent(top1["last"]), best))
    student = result["student"]
    latency = student.get("cpu_latency_ms")
    note = f"{number(latency)} ms per image on a CPU" if latency else ""
    figures.append(Figure("student", f"{short(student['parameters'])} parameters", note))
    speed = result.get("train_images_per_s")
    told = f"{speed:,.0f} images per second" if speed else ""
    figures.append(Figure("training", f"{result['wall_s']:,.0f} s", told))
    return figures


def _points(run: Run) -> list[Point]:
    key = "val" if _split(run) == "validation" else "test"
    points = []
    for place, name in ((0, "student"), (None, "teacher")):
        network = run.result[name]
        accuracy = (network or {}).get("top1", {}).get(key, {}).get("last")
        if accuracy is not None:
            costs = {cost: network.get(cost) for cost in COSTS}
            points.append(Point(name, accuracy, costs, place))
    return points


def _split(run: Run) -> str:
    return "test" if run.result["student"]["top1"].get("test") else "validation"
