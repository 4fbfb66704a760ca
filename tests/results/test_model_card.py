import copy
from pathlib import Path
from typing import Any

import pytest
import yaml
from huggingface_hub import ModelCard

from distill.results.model_card import card, write_card

NETWORK = {"class": "ResNet", "parameters": 77754}
SCORES = {"last": 95.123, "best": 96}
RESULT = {
    "recipe": "digits/kd",
    "seed": 3,
    "metric": "top1",
    "pipeline_tag": "image-classification",
    "dataset": {
        "class": "Digits",
        "classes": ["cat", "dog | cow"],
        "shape": [1, 8, 12],
        "images": {"train": 1000, "val": 20},
    },
    "epochs": 4,
    "steps": 80,
    "wall_s": 12.5,
    "device": "cpu",
    "precision": "32-true",
    "versions": {"torch": "2.9"},
    "teacher": {"class": "WRN", "parameters": 1200000, "top1": {"val": {"last": 99, "best": 99}}},
    "student": NETWORK
    | {"top1": {"val": {"last": 95.123, "best": 96}, "test": {"last": 94, "best": 0}}},
}
CONFIG = {
    "model": {
        "init_args": {
            "teacher": {"class_path": "teachers.from_run", "init_args": {"run_dir": "my/secret"}},
            "losses": {
                "ce": {"loss": "torch.nn.CrossEntropyLoss", "weight": 0.1},
                "kd": {"loss": {"class_path": "distill.losses.KDLoss"}},
            },
        }
    }
}


def changed(**changes: Any) -> dict[str, Any]:
    return copy.deepcopy(RESULT) | changes


def test_the_hub_reads_its_head() -> None:
    found = ModelCard(card(changed(), CONFIG)).data
    assert found.to_dict()["library_name"] == "distill"
    assert found.pipeline_tag == "image-classification"
    assert found.license == "unknown"
    assert found.model_name == "digits/kd"
    figures = {(each.metric_name, each.metric_value) for each in found.eval_results}
    assert figures == {("top1 on val, %", 95.12), ("top1 on test, %", 94)}
    assert {each.dataset_name for each in found.eval_results} == {"Digits"}


def test_it_tells_what_was_measured_and_how() -> None:
    text = card(changed(), CONFIG)
    for told in (
        "ResNet, 77,754 parameters, for greyscale images of 8 x 12 pixels (height x width).",
        "2 classes: cat, dog / cow.",
        "| network | parameters | top1, val, % | top1, test, % |",
        "| teacher: WRN | 1,200,000 | 99.00 |  |",
        "| student: ResNet | 77,754 | 95.12 | 94.00 |",
        "one run, seed 3: no spread is known",
        "1,000 for train, 20 for val",
        "ce (`torch.nn.CrossEntropyLoss`, weight 0.1); kd (`distill.losses.KDLoss`, weight 1)",
        "- Teacher: `teachers.from_run`.",
        "4 epochs, 80 steps, 12.5 s on cpu, precision 32-true.",
    ):
        assert told in text, told
    assert "secret" not in text  # no path of this machine


@pytest.mark.parametrize(
    "changes",
    [
        {"teacher": None},
        {"pipeline_tag": None},
        {"student": NETWORK | {"top1": {"val": {"last": None, "best": None}}}},
        {"recipe": ""},
        {"recipe": "a: b # [c]\nd"},
    ],
)
def test_the_head_can_be_read_whatever_is_missing(changes: dict[str, Any]) -> None:
    text = card(changed(**changes), {"model": {"init_args": None}, "data": None})
    head = yaml.safe_load(text.split("---")[1])
    assert head["library_name"] == "distill"
    assert ModelCard(text).text.strip().startswith("# ")
    assert ("model-index" in head) == ("student" not in changes)


def test_many_classes_are_cut_short() -> None:
    data = RESULT["dataset"] | {"classes": [f"c{number}" for number in range(60)]}
    text = card(changed(dataset=data), CONFIG)
    assert "60 classes: c0, " in text
    assert "c49, and 10 more." in text
    assert "c50" not in text


def test_it_is_written_beside_the_recipe(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(CONFIG))
    write_card(tmp_path, changed())
    assert (tmp_path / "README.md").read_text() == card(changed(), CONFIG)
