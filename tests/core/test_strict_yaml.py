from pathlib import Path

import pytest
import yaml

from distill.core.errors import RecipeError
from distill.core.strict_yaml import DEPTH, NODES, SIZE, parse_yaml, read_yaml


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 1e-3),
        ("-2E5", -2e5),
        (".5", 0.5),
        ("1.", 1.0),
        ("-.inf", float("-inf")),
        ("1_000", 1000),
        ("0x1F", 31),
        ("-0", 0),
        ("true", True),
        ("~", None),
        ("'1'", "1"),
        ("010", "010"),
        ("1:30", "1:30"),
        ("12:00:00:00", "12:00:00:00"),
        ("2024-02-30", "2024-02-30"),
        ("2024-01-01", "2024-01-01"),
        ("0b1", "0b1"),
        ("1e400", float("inf")),
    ],
)
def test_numbers_are_numbers_and_dates_and_times_are_texts(text: str, value: object) -> None:
    found = parse_yaml(text, "here")
    assert found == value
    assert type(found) is type(value)


def test_texts_that_look_like_numbers_survive_being_written() -> None:
    texts = ["010", "1:30", "2024-01-01", "0x1F", "1_0", "no", "~", "1.", ".5", "<<"]
    assert parse_yaml(yaml.safe_dump(texts), "here") == texts


REFUSED = {
    "anchor": ("a: &x 1", "here:1", "anchors and aliases"),
    "alias": ("a: 1\nb: *x", "here:2", "anchors and aliases"),
    "python tag": ("a: 1\nb: !!python/name:os.system ''", "here:2", "tags such as tag:yaml.org"),
    "plain tag": ("a: !!int 3", "here:1", "tags such as"),
    "tagged date": ("a: !!timestamp x", "here:1", "tags such as"),
    "own tag": ("a: !mine 3", "here:1", "tags such as !mine"),
    "merge key": ("a:\n  <<: {b: 1}", "here:2", "merge keys"),
    "duplicate key": ("a: 1\nb: 2\na: 3", "here:3", "duplicate key 'a'"),
    "key of keys": ("{{a: 1}: 2}", "here:1", "a key must be plain"),
    "null as a key": ("~: 2", "here:1", "a key must be plain"),
    "open bracket": ("a: [1", "here:1", "expected"),
    "control character": ("a: \x07", "here", "special characters"),
    "long integer": ("a: " + "1" * 5_000, "here:1", "a number of 5,000 digits"),
    "deep list": ("[" * 300 + "]" * 300, "here:1", "nested more than 50 levels deep"),
    "deep mapping": ("{a: " * 5_000 + "1" + "}" * 5_000, "here:1", "nested more than"),
    "many values": ("[" + "1," * 2 * NODES + "]", "here:1", "more than 20,000 values"),
    "long text": ("a: " + "x" * SIZE, "here", "longer than 1,000,000 characters"),
}


@pytest.mark.parametrize("case", REFUSED.values(), ids=REFUSED.keys())
def test_the_rest_is_refused_by_line(case: tuple[str, str, str]) -> None:
    text, key, message = case
    with pytest.raises(RecipeError, match=message) as told:
        parse_yaml(text, "here")
    assert told.value.key == key
    assert len(str(told.value)) < 300


def test_nesting_up_to_the_limit_is_read() -> None:
    value = parse_yaml("[" * DEPTH + "]" * DEPTH, "here")
    for _ in range(DEPTH - 1):
        (value,) = value
    assert value == []


@pytest.mark.parametrize("name", ["missing.yaml", "", "null\0byte.yaml"])
def test_a_file_that_cannot_be_opened_is_named(name: str, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="cannot be read"):
        read_yaml(tmp_path / name)


def test_a_file_of_another_encoding_is_named(tmp_path: Path) -> None:
    path = tmp_path / "latin.yaml"
    path.write_bytes(b"model: \xff")
    with pytest.raises(RecipeError, match=r"latin\.yaml: cannot be read"):
        read_yaml(path)
