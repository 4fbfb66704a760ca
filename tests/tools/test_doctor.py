from pathlib import Path

import pytest

from distill.tools.doctor import doctor


def test_it_tells_what_there_is_writes_nothing_and_no_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WANDB_BASE_URL", "http://user:hidden@127.0.0.1:9")
    monkeypatch.setenv("WANDB_API_KEY", "hidden")
    lines = list(doctor(Path("runs")))
    text = "\n".join(lines)
    for start in (
        "distill  ",
        "with     torch ",
        "device   cpu, ",
        "disk     ",
        "W&B      no conn",
    ):
        assert any(line.startswith(start) for line in lines), start
    assert "bf16" in text
    assert "GiB free for runs" in text
    assert "hidden" not in text
    assert not list(tmp_path.iterdir())


def test_packages_that_are_not_there_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("distill.tools.doctor.wandb_state", lambda: "")
    monkeypatch.setattr("distill.tools.doctor._bf16", lambda device: "")
    monkeypatch.setattr("distill.tools.doctor._OPTIONAL", {"sound": ("torch", "no_such_package")})
    assert list(doctor(tmp_path))[-1] == "sound    torch, no_such_package is not installed"
