import base64
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import wandb
from pytorch_lightning.loggers import WandbLogger

from distill.runs.wandb.connection import offline_if_unreachable, start
from tests.fixtures.wandb_server import KEY, OWNER, server

NOBODY = json.dumps({"data": {"viewer": None}})


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("WANDB_API_KEY", "WANDB_MODE", "WANDB_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    for name in ("WANDB_INIT_TIMEOUT", "WANDB_FINISH_TIMEOUT"):
        monkeypatch.setenv(name, "15")  # so that what the code sets is undone
    monkeypatch.setenv("HOME", str(tmp_path))


def asked(monkeypatch: pytest.MonkeyPatch, url: str) -> dict[str, Any]:
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    monkeypatch.setenv("WANDB_BASE_URL", url)
    arguments: dict[str, Any] = {}
    offline_if_unreachable(arguments, seconds=0.3)
    return arguments


def test_with_key_and_server_it_stays_online(monkeypatch: pytest.MonkeyPatch) -> None:
    with server(200, OWNER) as (url, sent):
        assert asked(monkeypatch, url) == {}
    assert base64.b64decode(sent[0].removeprefix("Basic ")).decode() == f"api:{KEY}"


def test_without_a_key_it_logs_offline_with_one_warning() -> None:
    arguments: dict[str, Any] = {}
    with pytest.warns(UserWarning, match="no API key; logging offline") as warned:
        offline_if_unreachable(arguments)
    assert arguments == {"offline": True}
    assert len(warned) == 1


@pytest.mark.parametrize(
    ("status", "answer", "wait", "problem"),
    [
        (401, "", 0, r"127\.0\.0\.1 refuses the API key"),
        (200, NOBODY, 0, r"127\.0\.0\.1 refuses the API key"),
        (503, "", 0, r"127\.0\.0\.1: HTTP Error 503: Service Unavailable"),
        (200, "<html>a login page", 0, r"no connection to 127\.0\.0\.1"),
        (200, OWNER, 0.6, r"no connection to 127\.0\.0\.1"),
    ],
)
def test_a_server_that_does_not_help_is_noticed(
    status: int, answer: str, wait: float, problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        server(status, answer, wait) as (url, _),
        pytest.warns(UserWarning, match=f"{problem}; logging offline"),
    ):
        assert asked(monkeypatch, url) == {"offline": True}


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("http://127.0.0.1:9", r"no connection to 127\.0\.0\.1"),
        ("file:///etc", "must begin with http"),
    ],
)
def test_without_a_server_it_logs_offline(
    url: str, problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.warns(UserWarning, match=problem):
        assert asked(monkeypatch, url) == {"offline": True}


def test_a_key_in_netrc_counts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / ".netrc").write_text(f"machine 127.0.0.1 login user password {KEY}\n")
    (tmp_path / ".netrc").chmod(0o600)
    with server(200, OWNER) as (url, sent):
        monkeypatch.setenv("WANDB_BASE_URL", url)
        arguments: dict[str, Any] = {}
        offline_if_unreachable(arguments)
    assert arguments == {}
    assert len(sent) == 1


@pytest.mark.parametrize("mode", ["offline", "disabled"])
def test_a_declared_mode_is_left_alone(monkeypatch: pytest.MonkeyPatch, mode: str) -> None:
    monkeypatch.setenv("WANDB_MODE", mode)
    arguments: dict[str, Any] = {}
    offline_if_unreachable(arguments)
    assert arguments == {}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_run_that_cannot_be_made_online_starts_offline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    modes = []

    def init(**arguments: Any) -> object:
        modes.append(arguments.get("mode", "online"))
        if modes == ["online"]:
            raise wandb.errors.CommError("entity not found\nand more")
        return SimpleNamespace()

    monkeypatch.setattr(wandb, "init", init)
    with pytest.warns(UserWarning, match="W&B: entity not found; logging offline"):
        start(WandbLogger(save_dir=tmp_path))
    assert modes == ["online", "offline"]
