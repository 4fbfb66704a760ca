"""Bad bench files: each is refused in one line with its key."""

import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from distill.bench import bench
from distill.bench.spec import Variant, read_bench
from distill.core.errors import RecipeError

SPEC = {"baseline": "digits/student", "methods": ["digits/kd"], "seeds": [0]}
KD = {"recipe": "digits/kd"}


def write(folder: Path, **changes: Any) -> Path:
    path = folder / "bench.yaml"
    path.write_text(json.dumps(SPEC | changes))
    return path


def test_a_bench_is_read(tmp_path: Path) -> None:
    overrides = {"trainer.callbacks": [{"class_path": "a.B"}]}
    variants = {"kd_2-b": KD | {"overrides": overrides, "against": "student"}}
    found = read_bench(write(tmp_path, variants=variants))
    assert list(found.competitors()) == ["student", "kd", "kd_2-b"]
    assert found.variants["kd_2-b"] == Variant("digits/kd", overrides, "student")


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "no seeds": ({"seeds": []}, "at least one method and seed"),
    "a seed twice": ({"seeds": [1, 1]}, "no seed twice"),
    "null seeds": ({"seeds": None}, "seeds: needs a list"),
    "seeds as text": ({"seeds": "0"}, "seeds: needs a list"),
    "half a seed": ({"seeds": [0.5]}, "seeds: needs a list, each a whole number"),
    "true as a seed": ({"seeds": [True]}, "seeds: needs a list, each a whole number"),
    "negative seed": ({"seeds": [-1]}, "seed_everything: must be 0 to"),
    "seed too large": ({"seeds": [2**40]}, "seed_everything: must be 0 to"),
    "null methods": ({"methods": None}, "methods: needs a list"),
    "methods as text": ({"methods": "digits/kd"}, "methods: needs a list"),
    "number as a method": ({"methods": [3]}, "methods: needs a list, each a text"),
    "a method twice": ({"methods": ["digits/kd", "digits/kd"]}, "the same name"),
    "null byte": ({"methods": ["digits/\0"]}, "no such recipe"),
    "unknown recipe": ({"baseline": "digits/studnet"}, "no such recipe, did you mean"),
    "number as baseline": ({"baseline": 3}, "baseline: needs a text"),
    "long name": ({"baseline": "x" * 5_000}, r"x{50,}\.\.\.: no such recipe"),
    "number as teacher": ({"teacher": 3}, "teacher: needs a text or null"),
    "null variants": ({"variants": None}, "variants: must not be null"),
    "variants as a list": ({"variants": [KD]}, "variants: needs a mapping"),
    "null variant": ({"variants": {"b": None}}, "variants.b: must not be null"),
    "variant as text": ({"variants": {"b": "digits/kd"}}, "variants.b: needs"),
    "variant without recipe": ({"variants": {"b": {}}}, "variants.b.recipe: Variant needs it"),
    "variant without a name": ({"variants": {"": KD}}, "variants.: a name begins with a letter"),
    "path as a variant": ({"variants": {"/a/x": KD}}, "a name begins with a letter"),
    "path above as a variant": ({"variants": {"..": KD}}, "must not hold a dot"),
    "long variant": ({"variants": {"x" * 101: KD}}, "that of its folder"),
    "spaces in a variant": ({"variants": {"a b": KD}}, "variants.a b: .*that of its folder"),
    "variant named teacher": (
        {"teacher": "digits/teacher", "variants": {"teacher": KD}},
        "a method named teacher",
    ),
    "against itself": ({"variants": {"b": KD | {"against": "b"}}}, "b.against: is the variant"),
    "against nothing": ({"variants": {"b": KD | {"against": "kdd"}}}, "no method 'kdd', did you"),
    "null overrides": ({"overrides": None}, "overrides: needs dotted.key"),
    "overrides as a list": ({"overrides": [1]}, "overrides: needs dotted.key"),
    "empty override": ({"overrides": {"": 1}}, "an override is written"),
    "override of the model": ({"overrides": {"model": 3}}, "model: needs keys, got 3"),
    "no model": ({"overrides": {"model": None}}, "model: is missing"),
    "no arguments": ({"overrides": {"model.init_args": 3}}, "model.init_args: needs keys"),
    "override of the trainer": (
        {"baseline": "digits/dml", "overrides": {"trainer": [3]}},
        "trainer|Index",
    ),
    "no data": ({"overrides": {"data": None}}, "data: is missing"),
    "override of a number": ({"overrides": {"trainer.max_epochs.x": 1}}, "has no keys"),
    "unknown key": ({"method": ["digits/kd"]}, "method: .*did you mean 'methods'"),
}


@pytest.mark.parametrize("case", WRONG.values(), ids=WRONG.keys())
def test_a_wrong_bench_names_the_key(case: tuple[dict[str, Any], str], tmp_path: Path) -> None:
    changes, message = case
    with pytest.raises(RecipeError, match=message) as told:
        bench(write(tmp_path, **changes), tmp_path / "out", Console(quiet=True))
    assert "\n" not in str(told.value)
    assert len(str(told.value)) < 400


@pytest.mark.parametrize("text", ["", "[]", "text", "{1: 2}", "a: [", "\0", "{a: &x 1}"])
def test_a_file_that_is_no_bench_is_named(text: str, tmp_path: Path) -> None:
    path = tmp_path / "bench.yaml"
    path.write_text(text)
    with pytest.raises(RecipeError, match=r"bench\.yaml"):
        read_bench(path)
