"""What is proposed as the next candidate of a search."""

from pathlib import Path

from distill.search import Random
from distill.search.candidates import Proposer
from distill.search.runner import make_plan
from distill.search.strategy import Design, Search, draw
from tests.fixtures.searches import write


def test_of_several_designs_the_one_with_the_best_proxy_is_proposed(tmp_path: Path) -> None:
    prefilter = {"designs": 3, "proxy": "flops"}
    path = write(tmp_path, prefilter=prefilter, constraints=None, parameters=None)
    plan = make_plan(path, tmp_path / "out", [], 0)
    search, drawn, keys = Search(plan.space, 0, 3), list[Design](), set[str]()
    for _ in range(3):
        design = draw(Random(), search, 0, [], lambda one: plan.space.key(one) not in keys)
        assert design is not None
        drawn.append(design)
        keys.add(plan.space.key(design))
    wanted = max(drawn, key=lambda design: plan.costs(design)["flops"])
    trial = Proposer(plan, drawn[0])(0, [])
    assert trial is not None
    assert wanted != drawn[0]
    assert tuple(trial.params.values()) == wanted
    assert trial.user_attrs["parameters"]["score"] == plan.costs(wanted)["flops"]
