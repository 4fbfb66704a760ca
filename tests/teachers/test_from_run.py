import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import students
from distill.core.files import sha256
from distill.core.trust import trusting
from teachers import Ensemble, from_run
from tests.fixtures.runs import write_run

LENET = {"class_path": "students.lenet5", "init_args": {"num_classes": 4, "in_channels": 1}}
LINEAR = {"class_path": "torch.nn.Linear", "init_args": {"in_features": 3, "out_features": 2}}


def test_gives_the_trained_student_back(tmp_path: Path) -> None:
    student = students.lenet5(4, in_channels=1)
    teacher = from_run(write_run(tmp_path, LENET, student))
    image = torch.randn(2, 1, 32, 32)
    assert torch.equal(teacher(image), student(image))


def test_carries_the_normalization_of_the_run(tmp_path: Path) -> None:
    teacher = from_run(write_run(tmp_path, LENET, students.lenet5(4, in_channels=1)))
    assert teacher.input_normalization == ((0.25,), (0.5,))


@pytest.mark.parametrize("content", ["{}", '{"normalization": null}'])
def test_carries_none_where_the_run_tells_none(tmp_path: Path, content: str) -> None:
    run_dir = write_run(tmp_path, LINEAR, nn.Linear(3, 2))
    (tmp_path / "result.json").write_text(content)
    assert not hasattr(from_run(run_dir), "input_normalization")


@pytest.mark.parametrize(
    "content",
    [
        '{"normalization": {"mean": [0]}}',
        '{"normalization": 3}',
        '{"normalization": {"mean": [NaN], "std": [1]}}',
        '{"normalization": {"mean": [0], "std": [0]}}',
        '{"normalization": {"mean": [0, 0], "std": [1]}}',
    ],
)
def test_unreadable_normalization_is_refused(tmp_path: Path, content: str) -> None:
    run_dir = write_run(tmp_path, LINEAR, nn.Linear(3, 2))
    (tmp_path / "result.json").write_text(content)
    with pytest.raises(ValueError, match=r"result\.json holds no readable normalization$"):
        from_run(run_dir)


@pytest.mark.parametrize("content", ["{", "[]", "[" * 100_000])
def test_unreadable_result_is_refused(tmp_path: Path, content: str) -> None:
    run_dir = write_run(tmp_path, LINEAR, nn.Linear(3, 2))
    (tmp_path / "result.json").write_text(content)
    with pytest.raises(ValueError, match=r"result\.json (cannot be read|is not the result)"):
        from_run(run_dir)


def test_weights_that_changed_since_are_refused(tmp_path: Path) -> None:
    run_dir = write_run(tmp_path, LINEAR, nn.Linear(3, 2))
    weights = tmp_path / "student.safetensors"
    facts = {"sha256": {weights.name: sha256(weights)}}
    (tmp_path / "result.json").write_text(json.dumps(facts))
    from_run(run_dir)
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(ValueError, match=r"student\.safetensors is damaged: it does not match"):
        from_run(run_dir)


def test_carries_the_classes_of_the_run(tmp_path: Path) -> None:
    run_dir = write_run(tmp_path, LINEAR, nn.Linear(3, 2))
    (tmp_path / "result.json").write_text('{"dataset": {"classes": ["cat", "dog"]}}')
    assert from_run(run_dir).trained_classes == ("cat", "dog")


def test_class_path_alone_is_a_spec(tmp_path: Path) -> None:
    network = nn.PReLU(init=0.75)
    teacher = from_run(write_run(tmp_path, "torch.nn.PReLU", network))
    assert teacher.weight.item() == 0.75


def test_specs_nest_in_arguments(tmp_path: Path) -> None:
    network = Ensemble([nn.Linear(3, 2), nn.PReLU()], [1.0, 2.0])
    arguments = {"members": [LINEAR, {"class_path": "torch.nn.PReLU"}], "weights": [1.0, 2.0]}
    spec = {"class_path": "teachers.Ensemble", "init_args": arguments}
    teacher = from_run(write_run(tmp_path, spec, network))
    assert torch.equal(teacher.members[0].weight, network.members[0].weight)


def test_missing_run_tells_the_command_that_makes_it() -> None:
    message = (
        r"^no run at runs/cifar10/none: "
        r"train it first with `distill fit \.\.\. --run_dir runs/cifar10/none`$"
    )
    with pytest.raises(ValueError, match=message):
        from_run("runs/cifar10/none")


@pytest.mark.parametrize("name", ["config.yaml", "student.safetensors", "result.json"])
def test_unfinished_run_names_what_is_missing(tmp_path: Path, name: str) -> None:
    run_dir = write_run(tmp_path, LINEAR, nn.Linear(3, 2))
    (tmp_path / name).unlink()
    message = rf"^no finished run at \S+, which has no {name}: train it first with `distill fit"
    with pytest.raises(ValueError, match=message):
        from_run(run_dir)


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    run_dir = write_run(tmp_path, LINEAR, nn.Linear(3, 5))
    with pytest.raises(ValueError, match=r"student\.safetensors: 0 of 2 tensors match Linear"):
        from_run(run_dir)


@pytest.mark.parametrize("content", ["", "model: 3", "model: {init_args: {}}", "[model]"])
def test_config_without_a_student_is_refused(tmp_path: Path, content: str) -> None:
    run_dir = write_run(tmp_path, LINEAR, nn.Linear(3, 2))
    (tmp_path / "config.yaml").write_text(content)
    with pytest.raises(ValueError, match=r"config\.yaml names no model\.init_args\.student$"):
        from_run(run_dir)


BOMB = "a: &a [x, x]\n" + "".join(f"{k}: &{k} [*a, *a, *a]\n" for k in "bcdefgh")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("model: {", "expected the node content"),
        ("\x00", "special characters are not allowed"),
        (BOMB, "anchors and aliases are not allowed"),
        ("model: {<<: {a: 1}}", "merge keys"),
        ("model: " + "[" * 400, "nested more than 50 levels deep"),
        ("a: 1\na: 2", "duplicate key 'a'"),
        ("a: " + "x" * 1_000_001, "longer than 1,000,000 characters"),
        ("a: [" + "1," * 45_000 + "]", "holds more than 20,000 values"),
    ],
)
def test_config_is_read_as_strictly_as_a_recipe(tmp_path: Path, content: str, message: str) -> None:
    run_dir = write_run(tmp_path, LINEAR, nn.Linear(3, 2))
    (tmp_path / "config.yaml").write_text(content)
    with pytest.raises(ValueError, match=rf"config\.yaml(:\d+)?: .*{message}") as told:
        from_run(run_dir)
    assert len(str(told.value)) < 400


def test_a_run_that_names_itself_is_one_line(tmp_path: Path) -> None:
    def named(folder: str) -> dict[str, Any]:
        run_dir = str(tmp_path / folder)
        return {"class_path": "teachers.from_run", "init_args": {"run_dir": run_dir}}

    write_run(tmp_path / "a", named("b"), nn.Linear(3, 2))
    run_dir = write_run(tmp_path / "b", named("a"), nn.Linear(3, 2))
    with pytest.raises(ValueError, match=r"^\S+b/config\.yaml: the run names itself") as told:
        from_run(run_dir)
    assert "\n" not in str(told.value)


def test_config_builds_no_objects_by_tag(tmp_path: Path) -> None:
    run_dir = write_run(tmp_path, LINEAR, nn.Linear(3, 2))
    harmful = f"model: !!python/object/apply:os.mkdir ['{tmp_path}/executed']"
    (tmp_path / "config.yaml").write_text(harmful)
    with pytest.raises(ValueError, match=r"config\.yaml:1: tags such as \S+ are not allowed"):
        from_run(run_dir)
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("os.system", r"os\.system is outside the trusted packages \(distill, teachers, "),
        ("torch_evil.Net", r"torch_evil\.Net is outside the trusted packages"),
        ("students", r"needs a (class_path of type Module|dotted path such as.*), got 'students'"),
        ("students.lenet6", r"no 'lenet6' in students, did you mean 'lenet5'"),
        ("students.none.net", r"no 'none' in students"),
        ("torch.load", r"torch\.load may not be named in a recipe"),
        ("torch.Tensor", r"torch\.Tensor is neither a class of type Module"),
        ("torch.float32", r"torch\.float32 is neither a class nor a function"),
    ],
)
@pytest.mark.parametrize("nested", [False, True])
def test_only_networks_of_trusted_packages_are_built(
    tmp_path: Path, path: str, message: str, nested: bool
) -> None:
    members = {"members": [LINEAR, {"class_path": path}]}
    spec = {"class_path": "teachers.Ensemble", "init_args": members} if nested else path
    place = r"student\.members\.1\.class_path" if nested else "student"
    whole = rf"config\.yaml: model\.init_args\.{place}: {message}"
    with pytest.raises(ValueError, match=whole):
        from_run(write_run(tmp_path, spec, nn.Linear(3, 2)))


def test_untrusted_package_is_not_even_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "harmful_package.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    run_dir = write_run(tmp_path / "run", "harmful_package.Net", nn.Linear(3, 2))
    with pytest.raises(
        ValueError, match=r"student: harmful_package\.Net is outside the trusted packages"
    ):
        from_run(run_dir)


@pytest.fixture
def stranger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The run of a network of somebody's own package, whose annotations are texts."""
    lines = [
        "from __future__ import annotations",
        "from torch import nn",
        "def net(width: int) -> nn.Module:",
        "    return nn.Linear(width, 2)",
        "def unresolved(width: Nowhere) -> nn.Module:",
        "    return nn.Linear(width, 2)",
    ]
    (tmp_path / "strangers_package.py").write_text("\n".join(lines))
    monkeypatch.syspath_prepend(tmp_path)
    spec = {"class_path": "strangers_package.net", "init_args": {"width": 3}}
    return write_run(tmp_path / "run", spec, nn.Linear(3, 2))


def test_what_the_command_trusts_may_teach(stranger: str) -> None:
    with trusting(["another", "strangers_package"]):
        assert from_run(stranger)(torch.zeros(4, 3)).shape == (4, 2)


def test_trust_ends_with_the_build_and_is_not_widened_inside(stranger: str) -> None:
    refused = (
        r"student.class_path: strangers_package\.net is outside the trusted packages \(distill, .*"
    )
    with trusting(["strangers_package"]):
        with (
            trusting(["another"]),
            pytest.raises(ValueError, match=rf"{refused}, another\); see --"),
        ):
            from_run(stranger)
        from_run(stranger)
    with pytest.raises(ValueError, match=rf"{refused}, pytorch_lightning\); see --trust$"):
        from_run(stranger)


def test_a_return_type_that_cannot_be_resolved_is_refused(stranger: str) -> None:
    run_dir = write_run(Path(stranger), "strangers_package.unresolved", nn.Linear(3, 2))
    with (
        trusting(["strangers_package"]),
        pytest.raises(
            ValueError, match="neither a class of type Module nor a function annotated to"
        ),
    ):
        from_run(run_dir)


def test_arguments_that_do_not_fit_are_refused_by_key(tmp_path: Path) -> None:
    spec = {"class_path": "students.lenet5", "init_args": {"classes": 4}}
    message = r"student\.classes: lenet5 has no argument 'classes', did you mean 'num_classes'"
    with pytest.raises(ValueError, match=message):
        from_run(write_run(tmp_path, spec, nn.Linear(3, 2)))


@pytest.mark.parametrize("spec", [3, {"init_args": {}}, {"class_path": 3}, [LINEAR]])
def test_student_without_a_class_path_is_refused(tmp_path: Path, spec: object) -> None:
    with pytest.raises(ValueError, match=r"student(\.class_path)?: needs a (class_|dotted )path"):
        from_run(write_run(tmp_path, spec, nn.Linear(3, 2)))


def test_a_folder_with_one_run_stands_for_it_and_one_with_several_is_refused(
    tmp_path: Path,
) -> None:
    student = students.lenet5(4, in_channels=1)
    for name in ("seed0", "seed1"):
        (tmp_path / name).mkdir()
    write_run(tmp_path / "seed0", LENET, student)
    image = torch.randn(2, 1, 32, 32)
    assert torch.equal(from_run(str(tmp_path))(image), student(image))
    write_run(tmp_path / "seed1", LENET, student)
    with pytest.raises(ValueError, match=r"holds several runs, name one: .*seed0, .*seed1"):
        from_run(str(tmp_path))
