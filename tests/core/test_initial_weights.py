import json
from pathlib import Path

import pytest
import yaml

from distill.core.initial_weights import finished_files, standing_alone, student_of, untrained

NET = {"class_path": "students.resnet8", "init_args": {"num_classes": 10}}
PRUNED = {"class_path": "distill.compress.pruned", "init_args": {"model": NET, "flops": 0.5}}


def write(folder: Path, student: object, **more: object) -> Path:
    folder.mkdir()
    tree = {"model": {"init_args": {"student": student}}, **more}
    (folder / "config.yaml").write_text(yaml.safe_dump(tree))
    (folder / "student.safetensors").write_text("")
    facts = {"normalization": {"mean": [0.5], "std": [0.2]}, "sha256": {"student.safetensors": "a"}}
    (folder / "result.json").write_text(json.dumps(facts))
    return folder


def test_files_of_weights_are_not_read_and_nothing_is_pruned() -> None:
    normalization = {"mean": [0.1], "std": [1.0]}
    arguments = {"model": PRUNED, "path": "gone", "sha256": "b", "normalization": normalization}
    spec = {"class_path": "teachers.from_checkpoint", "init_args": arguments}
    found = untrained({"class_path": "a.B", "init_args": {"parts": [spec], "path": "kept"}})
    (inner,) = found["init_args"]["parts"]
    assert found["init_args"]["path"] == "kept"
    assert inner["init_args"].keys() == {"model", "normalization"}
    assert inner["init_args"]["normalization"] == normalization
    assert inner["init_args"]["model"]["init_args"] == {"model": NET, "flops": 1.0}
    assert PRUNED["init_args"]["flops"] == 0.5


def test_a_student_is_what_its_stages_wrap(tmp_path: Path) -> None:
    wrap = {"class_path": "distill.compress.pruned", "init_args": {"flops": 0.5}}
    stages = {"a": None, "b": {"wrap": wrap}, "c": {"wrap": "a.last"}, "d": {"losses": ["ce"]}}
    found = student_of(write(tmp_path / "run", NET, stages=stages) / "config.yaml")
    assert found["class_path"] == "a.last"
    inner = found["init_args"]["model"]
    assert inner["init_args"] == {"model": NET, "flops": 1.0}


def test_a_run_is_written_down_as_what_it_holds(tmp_path: Path) -> None:
    first = write(tmp_path / "first", PRUNED)
    begun = {"class_path": "teachers.from_run", "init_args": {"run_dir": str(first)}}
    second = write(tmp_path / "second", begun)
    spec = {"class_path": "teachers.from_run", "init_args": {"run_dir": str(second)}}
    found = standing_alone({"class_path": "a.B", "init_args": {"model": [spec]}})
    (outer,) = found["init_args"]["model"]
    assert outer["class_path"] == "teachers.from_checkpoint"
    assert outer["init_args"]["path"] == str(second / "student.safetensors")
    assert outer["init_args"]["sha256"] == "a"
    assert outer["init_args"]["normalization"] == {"mean": [0.5], "std": [0.2]}
    inner = outer["init_args"]["model"]
    assert inner["init_args"]["path"] == str(first / "student.safetensors")
    assert inner["init_args"]["model"]["init_args"] == {"model": NET, "flops": 1.0}


def test_what_is_no_finished_run_is_told(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no run at .*none: train it first"):
        finished_files(str(tmp_path / "none"))
    config = write(tmp_path / "run", None) / "config.yaml"
    with pytest.raises(ValueError, match=r"names no model\.init_args.student"):
        student_of(config)
