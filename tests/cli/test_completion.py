import shutil
import subprocess
from pathlib import Path

import pytest

from distill.cli import main

_ASK = """
source {script}
ask() {{ COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=(); COMP_TYPE=9
  _shtab_distill distill "${{@: -1}}" "${{@: -2:1}}"; echo "${{COMPREPLY[@]}}"; }}
ask distill fit digits/kd_r
ask distill show digits/kd_r
ask distill rep
"""


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_bash_completes_commands_and_names_of_recipes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["completion", "bash"]) == 0
    script = tmp_path / "distill.bash"
    script.write_text(capsys.readouterr().out)
    ask = ["bash", "-c", _ASK.format(script=script)]
    told = subprocess.run(ask, capture_output=True, text=True, check=True, cwd=tmp_path).stdout
    assert told.splitlines() == ["digits/kd_rkd", "digits/kd_rkd", "report"]


def test_zsh_gets_the_names_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", "zsh"]) == 0
    text = capsys.readouterr().out
    assert text.startswith("#compdef distill")
    assert " digits/kd_rkd " in text
    assert "report:'one page on a run" in text
