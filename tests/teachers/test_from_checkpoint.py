import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from jsonargparse import ArgumentParser
from torch import nn

from teachers import from_checkpoint


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """Weights of a linear layer, all sevens."""
    path = tmp_path / "weights.pt"
    torch.save({"weight": torch.full((2, 3), 7.0), "bias": torch.full((2,), 7.0)}, path)
    return path


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def filled(network: nn.Module) -> bool:
    return all((value == 7).all() for value in network.state_dict().values())


def test_gives_the_model_with_the_weights_of_the_file(saved: Path) -> None:
    model = nn.Linear(3, 2)
    assert from_checkpoint(model, str(saved)) is model
    assert filled(model)


def test_reads_the_entry_that_key_names(tmp_path: Path, saved: Path) -> None:
    torch.save({"ema": torch.load(saved), "epoch": 1}, tmp_path / "full.pt")
    assert filled(from_checkpoint(nn.Linear(3, 2), str(tmp_path / "full.pt"), key="ema"))


def test_prefix_and_what_is_left_out_are_passed_on(tmp_path: Path) -> None:
    weights = {"encoder.0.weight": torch.full((2, 3), 7.0), "encoder.0.bias": torch.full((2,), 7.0)}
    torch.save(weights | {"losses.bank": torch.ones(3)}, tmp_path / "full.pt")
    model = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 5))
    path = str(tmp_path / "full.pt")
    from_checkpoint(model, path, prefix="encoder", leave_out=["1"])
    assert filled(model[0])
    assert not filled(model[1])


def test_what_is_left_out_must_be_there(saved: Path) -> None:
    with pytest.raises(ValueError, match=r"^leave_out names 'fc', which Linear does not have$"):
        from_checkpoint(nn.Linear(3, 2), str(saved), leave_out=["fc"])


def test_weights_of_another_model_are_refused_by_the_files_name(saved: Path) -> None:
    message = r"^\S*weights\.pt: 1 of 2 tensors match Linear; 1 of another shape"
    with pytest.raises(ValueError, match=message):
        from_checkpoint(nn.Linear(4, 2), str(saved))


@pytest.mark.parametrize("spell", [str.lower, str.upper])
def test_right_hash_is_accepted(saved: Path, spell: Callable[[str], str]) -> None:
    assert filled(from_checkpoint(nn.Linear(3, 2), str(saved), sha256=spell(digest(saved))))


def test_wrong_hash_is_refused_before_the_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    path.write_bytes(b"no weights at all")
    message = rf"^sha256 of \S*weights\.pt is {digest(path)}, not {'0' * 64}$"
    with pytest.raises(ValueError, match=message):
        from_checkpoint(nn.Linear(3, 2), str(path), sha256="0" * 64)


def test_url_without_hash_is_refused_without_a_download(
    saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(torch.hub, "download_url_to_file", lambda url, *_, **__: asked.append(url))
    with pytest.raises(ValueError, match=r"^sha256 is needed to load weights from a URL: file://"):
        from_checkpoint(nn.Linear(3, 2), saved.as_uri())
    assert asked == []


def test_url_with_its_hash_is_downloaded(saved: Path) -> None:
    assert filled(from_checkpoint(nn.Linear(3, 2), saved.as_uri(), sha256=digest(saved)))


def test_url_with_another_hash_is_refused(saved: Path) -> None:
    with pytest.raises(ValueError, match=r"^sha256 of file://\S*weights\.pt is \w{64}, not 1234$"):
        from_checkpoint(nn.Linear(3, 2), saved.as_uri(), sha256="1234")


def test_url_without_a_file_is_refused_by_name(tmp_path: Path) -> None:
    message = r"^path file://\S*nowhere\.pt cannot be downloaded"
    with pytest.raises(ValueError, match=message):
        from_checkpoint(nn.Linear(3, 2), (tmp_path / "nowhere.pt").as_uri(), sha256="1234")


def test_works_as_a_class_path(saved: Path) -> None:
    model = {"class_path": "torch.nn.Linear", "init_args": {"in_features": 3, "out_features": 2}}
    arguments = {"model": model, "path": str(saved)}
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--teacher", type=nn.Module)
    spec = {"class_path": "teachers.from_checkpoint", "init_args": arguments}
    assert filled(parser.instantiate(parser.parse_object({"teacher": spec})).teacher)
