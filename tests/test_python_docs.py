"""docs/python.md does what it says, block after block."""

import re
from pathlib import Path
from typing import Any

import pytest

PAGE = Path(__file__).parents[1] / "docs" / "python.md"
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)


@pytest.mark.filterwarnings(
    "ignore:.*does not have many workers.*",
    "ignore:.*LeafSpec.*",
    "ignore:.*log_every_n_steps.*",
)
def test_the_page_runs_from_top_to_bottom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    for block in BLOCKS:
        # The page is ours.
        exec(compile(block, str(PAGE), "exec"), names)  # noqa: S102
    assert names["teacher_accuracy"] > 60
    assert names["student_accuracy"] > 40
    assert set(names["result"].metrics) == {"val/top1", "val/top1/teacher"}
    assert set(names["run"].metrics) == {
        f"{stage}/top1{best}" for stage in ("val", "test") for best in ("", "/best")
    }
    assert names["curves"]["val/top1"].notna().any()
    assert (names["student"].input_size, len(names["student"].classes)) == ((8, 8), 10)
    assert names["logits"].shape == (5, 10)
    assert names["ours"]["9:input"].shape[1] == 16


def test_every_link_leads_somewhere() -> None:
    for target in re.findall(r"\]\((?!http)([^)#]+)", PAGE.read_text()):
        assert (PAGE.parent / target).exists(), target
