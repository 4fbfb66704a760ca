"""The report of one run: the student's accuracy and cost, beside its teacher's."""

from distill.report.blocks import Figure, Page, Section, Table
from distill.report.curves import accuracy_chart
from distill.report.evidence import (
    cost_section,
    diagnostics_section,
    difference_pictures,
    loss_section,
    networks_table,
    recipe_section,
    side_by_side,
)
from distill.report.numbers import capitalized, number, percent, share, short
from distill.report.tradeoff import COSTS, Point
from distill.results.scores import label_of, scores_of
from distill.results.study import FinishedRun, Study
from distill.results.weak_teacher import weak_in_run

_CLASS = "iou of "


def run_page(study: Study) -> Page:
    """Make the report of a run."""
    ((name, (run,)),) = study.runs.items()
    runs = {"student": [run]}
    teacher = scores_of(run.result, "teacher").get("val", {}).get("last")
    chart = accuracy_chart(runs, teacher)
    title = capitalized(label_of(run.result))
    sections = [
        Section("Student and teacher", "", [networks_table(run)]),
        Section(f"{title} over the epochs", "", [chart]) if chart else None,
        _of_each_class(run),
        cost_section(_points(run), _split(run), runs),
        diagnostics_section(runs),
        loss_section(runs),
        difference_pictures([run], name),
        side_by_side([run]),
        recipe_section({name: [run]}),
    ]
    kept = [section for section in sections if section is not None]
    return Page(f"Run {name}, seed {run.result['seed']}", _answer(run), _figures(run), kept)


def _answer(run: FinishedRun) -> list[str]:
    student, teacher = run.result["student"], run.result["teacher"]
    split = _split(run)
    key = "val" if split == "validation" else split
    last = scores_of(run.result, "student").get(key, {}).get("last")
    label, epochs = label_of(run.result), f"After {run.result['epochs']} epochs"
    of_images = label == "accuracy"
    if of_images:
        sentences = [f"{epochs} the student gets {percent(last)} of the {split} images right"]
    else:
        sentences = [f"{epochs} the student's {label} on the {split} images is {percent(last)}"]
    if teacher:
        size = share(student["parameters"], teacher["parameters"])
        taught = scores_of(run.result, "teacher").get(key, {}).get("last")
        verb = " gets" if of_images else "'s is"
        sentences[0] += f"; its teacher{verb} {percent(taught)}"
        sentences.append(f"It has {student['parameters']:,} parameters, {size} of the teacher's.")
        agreement = (run.result.get("diagnostics") or {}).get("agreement")
        if agreement is not None and of_images:
            sentences.append(
                f"Both give the same class on {percent(100 * agreement)} of the validation images."
            )
    sentences[0] += "."
    sentences += weak_in_run(run.result)
    sentences.append("One run has no spread: compare methods over seeds with distill bench.")
    return sentences


def _of_each_class(run: FinishedRun) -> Section | None:
    """Tabulate the figure of each class, of tasks that have one."""
    figures = run.result.get("diagnostics") or {}
    found = {name.removeprefix(_CLASS): value for name, value in figures.items() if _CLASS in name}
    rows = [(name, percent(value)) for name, value in found.items()]
    text = "The student's, on the validation images."
    table = Table("Intersection over union.", ("class", "student"), rows)
    return Section("Each class", text, [table]) if rows else None


def _figures(run: FinishedRun) -> list[Figure]:
    result = run.result
    figures = []
    for split, word in (("test", "test"), ("val", "validation")):
        scores = scores_of(result, "student").get(split)
        if scores:
            best = f"best epoch {percent(scores['best'])}"
            figures.append(Figure(f"student, {word}", percent(scores["last"]), best))
    student = result["student"]
    latency = student.get("cpu_latency_ms")
    note = f"{number(latency)} ms per image on a CPU" if latency else ""
    if student.get("stored_ratio", 1) > 1:
        times = f"{student['stored_ratio']:.1f} times less than in float"
        note = f"{short(student['stored_bytes'])}B, {times}"
    figures.append(Figure("student", f"{short(student['parameters'])} parameters", note))
    speed = result.get("train_images_per_s")
    note = f"{speed:,.0f} images per second" if speed else ""
    figures.append(Figure("training", f"{result['wall_s']:,.0f} s", note))
    return figures


def _points(run: FinishedRun) -> list[Point]:
    key = "val" if _split(run) == "validation" else "test"
    points = []
    for place, name in ((0, "student"), (None, "teacher")):
        network = run.result[name]
        accuracy = scores_of(run.result, name).get(key, {}).get("last")
        if accuracy is not None:
            costs = {cost: network.get(cost) for cost in COSTS}
            points.append(Point(name, accuracy, costs, place))
    return points


def _split(run: FinishedRun) -> str:
    return "test" if scores_of(run.result, "student").get("test") else "validation"
