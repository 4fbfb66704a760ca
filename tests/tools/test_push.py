"""Nothing here goes to the network: the hub is replaced."""

import re
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
from huggingface_hub.utils import filter_repo_objects

from distill.cli import main
from distill.core.errors import RecipeError
from distill.tools.push import push
from tests.fixtures.students import Means, known, write_student

SECRET = "not-a-real-token"  # noqa: S105


class Hub:
    """Stands in for ``HfApi`` and keeps what it was asked."""

    calls: list[tuple[str, dict[str, Any]]] = []
    error: Exception | None = None

    def __init__(self, token: str) -> None:
        Hub.calls.append(("token", {"token": token}))

    def create_repo(self, repo_id: str, **options: Any) -> str:
        Hub.calls.append(("create_repo", {"repo_id": repo_id, **options}))
        if Hub.error is not None:
            raise Hub.error
        return f"https://hub/{repo_id}"

    def upload_folder(self, **options: Any) -> None:
        Hub.calls.append(("upload_folder", options))


@pytest.fixture(autouse=True)
def hub(monkeypatch: pytest.MonkeyPatch) -> type[Hub]:
    monkeypatch.setattr(huggingface_hub, "HfApi", Hub)
    monkeypatch.setattr(Hub, "calls", [])
    monkeypatch.setattr(Hub, "error", None)
    monkeypatch.setenv("HF_TOKEN", SECRET)
    return Hub


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_student(tmp_path_factory.mktemp("push") / "run", Means(), known())
    (folder / "README.md").write_text("a card")
    (folder / "student.onnx").touch()
    (folder / "checkpoints").mkdir()
    (folder / "checkpoints" / "last.ckpt").touch()
    (folder / "metrics.csv").touch()
    (folder / ".env").touch()
    return folder


def test_a_run_is_pushed_without_its_checkpoints(
    run_dir: Path, hub: type[Hub], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["push", str(run_dir), "me/mine", "--private"]) == 0
    assert capsys.readouterr().out == "https://hub/me/mine\n"
    (_, login), (_, created), (_, sent) = hub.calls
    assert login == {"token": SECRET}
    assert created == {"repo_id": "me/mine", "private": True, "exist_ok": True}
    assert (sent["repo_id"], sent["folder_path"]) == ("me/mine", run_dir)
    names = [str(p.relative_to(run_dir)) for p in run_dir.rglob("*") if p.is_file()]
    assert set(filter_repo_objects(names, allow_patterns=sent["allow_patterns"])) == {
        "README.md",
        "config.yaml",
        "preprocess.json",
        "result.json",
        "student.onnx",
        "student.safetensors",
    }


def test_the_token_is_in_no_file(run_dir: Path) -> None:
    push(run_dir, "me/mine")
    held = [path.read_bytes() for path in run_dir.rglob("*") if path.is_file()]
    assert held
    assert not any(SECRET.encode() in content for content in held)


def test_without_a_token_nothing_is_asked(
    run_dir: Path, hub: type[Hub], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(RecipeError, match=r"^HF_TOKEN: must be set in the environment"):
        push(run_dir, "me/mine")
    assert hub.calls == []


def test_a_missing_package_is_named(run_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("distill.tools.push.find_spec", lambda name: None)
    with pytest.raises(RecipeError, match=r"needs huggingface_hub: pip install 'distill\[hf\]'"):
        push(run_dir, "me/mine")


@pytest.mark.parametrize("kind", [OSError, ValueError, RuntimeError])
def test_a_hub_that_cannot_be_reached_is_one_line(
    run_dir: Path, hub: type[Hub], capsys: pytest.CaptureFixture[str], kind: type[Exception]
) -> None:
    hub.error = kind("no route\nto host")
    assert main(["push", str(run_dir), "me/mine"]) == 2
    told = capsys.readouterr().err
    assert re.fullmatch(r"distill: me/mine: cannot be pushed: no route.to host\n", told)
    assert hub.calls[-1][0] == "create_repo"


def test_a_run_without_a_card_is_refused(run_dir: Path, tmp_path: Path) -> None:
    bare = write_student(tmp_path / "run", Means(), known())
    with pytest.raises(RecipeError, match=r"README\.md: is missing"):
        push(bare, "me/mine")
    with pytest.raises(RecipeError, match="not the directory of a finished run"):
        push(tmp_path / "gone", "me/mine")
