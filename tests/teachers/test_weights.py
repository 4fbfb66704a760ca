import os
from pathlib import Path

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
@pytest.mark.parametrize("wrap", [None, "state_dict", "model"])
def test_reads_torch_files_plain_or_wrapped(tmp_path: Path, wrap: str | None, legacy: bool) -> None:
    content = {wrap: tensors(), "epoch": 3} if wrap else tensors()
    path = tmp_path / "weights.pt"
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    filled = network()
    load_exactly(filled, read_tensors(path), "weights")
    assert_filled(filled)


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


@pytest.mark.parametrize("prefix", ["module.", "model.", "student."])
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


def test_other_prefixes_are_kept() -> None:
    given = {f"net.{name}": value for name, value in tensors().items()}
    with pytest.raises(ValueError, match=r"^weights: 0 of 9 tensors match"):
        load_exactly(network(), given, "weights")


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
