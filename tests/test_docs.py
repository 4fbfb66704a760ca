"""The pages on losses are current, whole and linked."""

import inspect
import re
import tomllib
from pathlib import Path

import pytest
import yaml

import distill.losses
from distill.modules import Distillation, Term
from docs import losses

DOCS = Path(__file__).parents[1] / "docs"
PAGE = losses.PAGE.read_text()


def test_the_page_of_losses_is_current() -> None:
    assert losses.page() == PAGE, "run: python docs/losses.py"


def test_a_page_that_is_not_current_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(losses, "PAGE", tmp_path / "losses.md")
    monkeypatch.setattr("sys.argv", ["losses.py"])
    losses.main()
    monkeypatch.setattr("sys.argv", ["losses.py", "--check"])
    losses.main()
    losses.PAGE.write_text(losses.PAGE.read_text() + "stale")
    with pytest.raises(SystemExit, match="not current"):
        losses.main()


def test_every_loss_has_a_card_with_its_inputs_and_cost() -> None:
    public = {name: getattr(distill.losses, name) for name in distill.losses.__all__}
    cards = dict(re.findall(r"^### (\w+)\n(.*?)(?=^##|\Z)", PAGE, re.MULTILINE | re.DOTALL))
    assert set(cards) == {name for name, value in public.items() if inspect.isclass(value)}
    for name, card in cards.items():
        arguments = inspect.signature(public[name].forward).parameters
        for field in ("**Computes.**", "**Inputs**", "**Cost.**", "**Recipes.**"):
            assert field in card, (name, field)
        assert all(f"`{argument}`" in card for argument in list(arguments)[1:]), name
        assert ":func:" not in card


def test_a_card_tells_the_defaults_of_the_constructor() -> None:
    card = PAGE.split("### CRDLoss")[1].split("###")[0]
    assert "- `student_dim`: " in card
    assert "- `n_negatives = 16384`: " in card


def test_a_card_names_the_recipes_that_use_the_loss() -> None:
    using = [p for p in DOCS.parent.glob("recipes/*/*.yaml") if "losses.SSLDLoss" in p.read_text()]
    card = PAGE.split("### SSLDLoss")[1].split("##")[0]
    assert len(using) > 1
    assert all(f"(../recipes/{path.parent.name}/{path.name})" in card for path in using)


@pytest.mark.parametrize("name", ["losses.md", "balancing.md"])
def test_every_link_leads_somewhere(name: str) -> None:
    text = (DOCS / name).read_text()
    headings = {heading.lower() for heading in re.findall(r"^#+ (.*)$", text, re.MULTILINE)}
    for target in re.findall(r"\]\((?!http)([^)]+)\)", text):
        path, _, anchor = target.partition("#")
        assert (DOCS / path).exists(), target
        assert not anchor or anchor in headings, target


def test_the_keys_that_the_page_on_balance_shows_exist() -> None:
    blocks = re.findall(r"```yaml\n(.*?)```", (DOCS / "balancing.md").read_text(), re.DOTALL)
    watched, rising = [yaml.safe_load(block) for block in blocks]
    assert set(watched["model"]) <= set(inspect.signature(Distillation).parameters)
    assert set(rising["dkd"]) <= set(inspect.signature(Term).parameters)


def test_the_citation_has_the_version_of_the_package() -> None:
    root = DOCS.parent
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    citation = yaml.safe_load((root / "CITATION.cff").read_text())
    assert citation["version"] == project["version"]


def test_every_link_of_the_readme_leads_somewhere() -> None:
    text = (DOCS.parent / "README.md").read_text()
    links = re.findall(r"\]\((?!http)([^)#]+)", text)
    assert "docs/journeys.md" in links
    assert [link for link in links if not (DOCS.parent / link).exists()] == []
