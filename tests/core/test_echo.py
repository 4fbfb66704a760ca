from distill.core.echo import LIMIT, short, shown


def test_short_values_are_shown_whole() -> None:
    assert shown({"a": [1, "b"]}) == "{'a': [1, 'b']}"
    assert short("one\n two") == "one two"


def test_nothing_is_longer_than_the_limit() -> None:
    nested: list[object] = []
    for _ in range(100_000):
        nested = [nested]
    for value in ("x" * 2_000_000, [1] * 1_000, 10**5_000, nested, b"y" * 1_000):
        assert len(shown(value)) <= LIMIT
    assert len(short("x " * 1_000_000)) == LIMIT
    # Undone from the outside, or freeing it would recurse as deeply.
    while nested:
        nested = nested[0]  # type: ignore[assignment]
