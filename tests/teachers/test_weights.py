import argparse
import os
import pickle
import types
from pathlib import Path, PurePosixPath

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from teachers.weights import load_exactly, read_tensors


def network() -> nn.Sequential:
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))


def tensors() -> dict[str, Tensor]:
    return {name: torch.full_like(value, 7) for name, value in network().state_dict().items()}


def assert_filled(filled: nn.Module) -> None:
    assert all((value == 7).all() for value in filled.state_dict().values())


class Harmful:
    """Makes a folder when it is unpickled by an unwary reader."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.folder),)


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize(
    "wrap", [None, "state_dict", "model", "model_state_dict", "net", "module", "teacher"]
)
def test_reads_torch_files_plain_or_wrapped(tmp_path: Path, wrap: str | None, legacy: bool) -> None:
    content = {wrap: tensors(), "epoch": 3} if wrap else tensors()
    path = tmp_path / "weights.pt"
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    filled = network()
    load_exactly(filled, read_tensors(path), "weights")
    assert_filled(filled)


@pytest.mark.parametrize("legacy", [False, True])
def test_plain_settings_beside_the_weights_are_no_obstacle(tmp_path: Path, legacy: bool) -> None:
    """As DeiT, MAE, timm and torchdistill save them."""
    arguments = argparse.Namespace(lr=0.1, output=Path("somewhere"), layers=[1, 2])
    more = types.SimpleNamespace(path=PurePosixPath("a/b"))
    content = {"model": tensors(), "args": arguments, "more": more, "epoch": 3}
    path = tmp_path / "weights.pth"
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    assert read_tensors(path).keys() == tensors().keys()


def test_nothing_else_may_be_read_afterwards(tmp_path: Path) -> None:
    """The list of plain types holds for this reader alone."""
    torch.save({"model": tensors(), "args": argparse.Namespace()}, tmp_path / "w.pth")
    read_tensors(tmp_path / "w.pth")
    with pytest.raises(pickle.UnpicklingError):
        torch.load(tmp_path / "w.pth", weights_only=True)


def test_what_is_more_than_data_is_named_with_the_file(tmp_path: Path) -> None:
    torch.save(network(), tmp_path / "whole.pth")
    message = (
        r"^\S*whole\.pth holds more than plain tensors, torch\.nn\.modules\.container\.Sequential, "
        r"so it was not loaded; save the weights alone: torch\.save\(network\.state_dict\(\), FILE"
    )
    with pytest.raises(ValueError, match=message):
        read_tensors(tmp_path / "whole.pth")


def test_a_checkpoint_in_a_checkpoint_is_found(tmp_path: Path) -> None:
    torch.save({"epoch": 1, "state_dict": {"model": tensors(), "step": 3}}, tmp_path / "w.pt")
    assert read_tensors(tmp_path / "w.pt").keys() == tensors().keys()
    assert read_tensors(tmp_path / "w.pt", "state_dict.model").keys() == tensors().keys()
    circle: dict[str, object] = {"epoch": 1}
    circle["model"] = circle
    torch.save(circle, tmp_path / "circle.pt")
    with pytest.raises(ValueError, match="holds more than tensors by name: epoch"):
        read_tensors(tmp_path / "circle.pt")


def test_of_several_unusual_entries_none_is_guessed(tmp_path: Path) -> None:
    torch.save({"ema": tensors(), "last": tensors()}, tmp_path / "w.pt")
    with pytest.raises(ValueError, match="holds more than tensors by name: ema, last"):
        read_tensors(tmp_path / "w.pt")


def test_reads_safetensors(tmp_path: Path) -> None:
    save_file(tensors(), tmp_path / "weights.safetensors")
    filled = network()
    load_exactly(filled, read_tensors(tmp_path / "weights.safetensors"), "weights")
    assert_filled(filled)


def test_key_names_the_entry(tmp_path: Path) -> None:
    torch.save({"state_dict": {"other": torch.zeros(1)}, "ema": tensors()}, tmp_path / "w.pt")
    assert read_tensors(tmp_path / "w.pt", key="ema").keys() == tensors().keys()


def test_unknown_key_is_refused_with_those_there(tmp_path: Path) -> None:
    torch.save({"ema": tensors(), "epoch": 3}, tmp_path / "w.pt")
    with pytest.raises(ValueError, match=r"^key 'emma' is not in .*w.pt, which holds ema, epoch$"):
        read_tensors(tmp_path / "w.pt", key="emma")


@pytest.mark.parametrize(
    "prefix",
    [
        "module.",
        "model.",
        "student.",
        "backbone.",
        "net.",
        "network.",
        "_orig_mod.",
        "module._orig_mod.",
        "model._orig_mod.module.",
        "student.backbone.",
    ],
)
def test_prefix_that_all_names_share_is_taken_off(prefix: str) -> None:
    filled = network()
    load_exactly(filled, {prefix + name: value for name, value in tensors().items()}, "weights")
    assert_filled(filled)


def test_prefix_of_some_names_is_kept() -> None:
    given = {f"module.{name}": value for name, value in tensors().items()} | {
        "0.bias": torch.ones(4)
    }
    with pytest.raises(ValueError, match=r"^weights: 1 of 9 tensors match Sequential; 8 missing"):
        load_exactly(network(), given, "weights")


def test_prefix_that_is_the_networks_own_is_kept() -> None:
    wrapper = nn.ModuleDict({"model": network()})
    load_exactly(wrapper, {f"model.{name}": value for name, value in tensors().items()}, "weights")
    assert_filled(wrapper)


def test_other_prefixes_are_kept_and_told() -> None:
    given = {f"encoder.{name}": value for name, value in tensors().items()}
    message = r"^weights: 0 of 9 tensors match.*; with prefix 'encoder\.' 9 names match$"
    with pytest.raises(ValueError, match=message):
        load_exactly(network(), given, "weights")


@pytest.mark.parametrize("prefix", ["encoder", "encoder."])
def test_a_prefix_that_is_given_chooses_among_the_names(prefix: str) -> None:
    given = {f"encoder.{name}": value for name, value in tensors().items()}
    filled = network()
    load_exactly(filled, given | {"losses.crd": torch.zeros(1)}, "weights", prefix)
    assert_filled(filled)


def test_a_prefix_that_no_name_has_is_refused_with_the_names() -> None:
    with pytest.raises(ValueError, match=r"^weights: no name begins with 'ema\.', but 0\.weight, "):
        load_exactly(network(), tensors(), "weights", "ema")


def test_what_compiling_a_part_adds_is_taken_off() -> None:
    given = {name.replace("0.", "0._orig_mod."): value for name, value in tensors().items()}
    assert "0._orig_mod.weight" in given
    filled = network()
    load_exactly(filled, given, "weights")
    assert_filled(filled)


def test_the_count_of_an_average_is_no_weight() -> None:
    averaged = torch.optim.swa_utils.AveragedModel(network())
    averaged.module.load_state_dict(tensors())
    filled = network()
    load_exactly(filled, averaged.state_dict(), "weights")
    assert_filled(filled)


def test_layers_that_are_left_out_keep_their_values() -> None:
    filled = network()
    before = filled[2].weight.detach().clone()
    other = tensors() | {"2.weight": torch.zeros(10, 4), "2.bias": torch.zeros(10)}
    load_exactly(filled, other, "weights", leave_out=["2"])
    assert torch.equal(filled[2].weight, before)
    assert (filled[0].weight == 7).all()
    more = tensors() | {"fc.weight": torch.zeros(1), "0.fc": torch.zeros(1)}
    with pytest.raises(ValueError, match=r"^weights: 9 of 9 .*; 1 unexpected: 0\.fc$"):
        load_exactly(network(), more, "weights", leave_out=["fc"])


def test_missing_tensors_are_counted_and_the_first_named() -> None:
    message = (
        r"^weights: 2 of 9 tensors match Sequential; "
        r"7 missing: 1.weight, 1.bias, 1.running_mean, \.\.\. \(4 more\)$"
    )
    given = {name: value for name, value in tensors().items() if name.startswith("0.")}
    with pytest.raises(ValueError, match=message):
        load_exactly(network(), given, "weights")


def test_unexpected_tensors_are_named() -> None:
    message = r"^weights: 9 of 9 tensors match Sequential; 1 unexpected: 3.weight$"
    with pytest.raises(ValueError, match=message):
        load_exactly(network(), tensors() | {"3.weight": torch.zeros(1)}, "weights")


def test_other_shapes_are_named_with_both() -> None:
    message = (
        r"^weights: 8 of 9 tensors match Sequential; "
        r"1 of another shape: 2.weight \(10, 4\) for \(2, 4\)$"
    )
    with pytest.raises(ValueError, match=message):
        load_exactly(network(), tensors() | {"2.weight": torch.zeros(10, 4)}, "weights")


def test_network_is_untouched_by_weights_that_do_not_match() -> None:
    untouched = network()
    before = {name: value.clone() for name, value in untouched.state_dict().items()}
    with pytest.raises(ValueError, match="1 of another shape"):
        load_exactly(untouched, tensors() | {"2.bias": torch.zeros(())}, "weights")
    assert all(torch.equal(before[name], v) for name, v in untouched.state_dict().items())


def test_message_is_at_most_three_lines() -> None:
    given = {f"wrong.{name}": value for name, value in tensors().items()}
    given |= {name: torch.zeros(5, 5) for name in tensors()}
    with pytest.raises(ValueError, match=r"9 unexpected.*9 of another shape") as caught:
        load_exactly(network(), given, "weights")
    assert len(str(caught.value).splitlines()) <= 3


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^no such file: .*nowhere\.pt$"):
        read_tensors(tmp_path / "nowhere.pt")


@pytest.mark.parametrize("name", ["weights.pt", "weights.safetensors"])
@pytest.mark.parametrize("content", [b"", b"hello", b"version https://git-lfs", bytes(100)])
def test_files_that_are_no_weights_are_refused_by_name(
    tmp_path: Path, name: str, content: bytes
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=rf"^\S*{name} is damaged, or holds more than plain"):
        read_tensors(tmp_path / name)


@pytest.mark.parametrize("suffix", ["pt", "legacy", "safetensors"])
def test_truncated_files_are_refused_by_name(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"weights.{suffix}"
    if suffix == "safetensors":
        save_file(tensors(), path)
    else:
        torch.save(tensors(), path, _use_new_zipfile_serialization=suffix == "pt")
    whole = path.read_bytes()
    for keep in range(0, len(whole), len(whole) // 20):
        path.write_bytes(whole[:keep])
        with pytest.raises(ValueError, match=rf"^\S*weights\.{suffix} is damaged"):
            read_tensors(path)


@pytest.mark.parametrize("legacy", [False, True])
def test_pickled_code_is_refused_and_not_run(tmp_path: Path, legacy: bool) -> None:
    content = tensors() | {"harmful": Harmful(tmp_path / "executed")}
    path = tmp_path / "weights.pt"
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    with pytest.raises(ValueError, match="holds more than plain tensors") as caught:
        read_tensors(path)
    assert not (tmp_path / "executed").exists()
    assert "weights_only" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([torch.zeros(1)], r"w\.pt holds a list, not tensors by name$"),
        (torch.zeros(1), r"w\.pt holds a Tensor, not tensors by name$"),
        ({}, r"w\.pt holds a dict, not tensors by name$"),
        ({"a": torch.zeros(1), "epoch": 3}, r"w\.pt holds more than tensors by name: epoch$"),
    ],
)
def test_other_contents_are_refused(tmp_path: Path, content: object, message: str) -> None:
    torch.save(content, tmp_path / "w.pt")
    with pytest.raises(ValueError, match=message):
        read_tensors(tmp_path / "w.pt")
