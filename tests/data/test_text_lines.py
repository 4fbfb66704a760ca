from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from distill.data import TextLines, fonts
from distill.data.fonts import find_fonts
from distill.data.text_lines import draw_texts


@pytest.fixture(autouse=True)
def one_font(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same on every machine."""
    monkeypatch.setattr(fonts, "_SYSTEM", ())


def ready(**arguments: object) -> TextLines:
    data = TextLines(**({"train": 60, "val": 20, "test": 30, "batch_size": 10} | arguments))
    data.setup("fit")
    return data


def texts(data: TextLines, split: str) -> list[str]:
    targets = getattr(data.pipeline, split).targets
    return ["".join(data.classes[number] for number in line) for line in targets.tolist()]


def tables(data: TextLines) -> dict[str, tuple[Tensor, Tensor]]:
    sets = {name: getattr(data.pipeline, name) for name in ("train", "val", "test")}
    return {name: (table.images, table.targets) for name, table in sets.items()}


def test_a_batch_has_lines_and_their_characters() -> None:
    data = ready(height=24, width=80, longest=5)
    batch = next(iter(data.train_dataloader()))
    assert batch.image.shape == (10, 1, 24, 80)
    assert batch.image.dtype == torch.uint8
    assert batch.target.shape == (10, 5)
    assert batch.target.dtype == torch.int64
    assert batch.line_length == 5


def test_lengths_are_in_their_range_and_zeros_only_behind() -> None:
    data = ready(train=200, shortest=2, longest=4)
    targets = data.pipeline.train.targets
    lengths = (targets != 0).sum(1)
    assert lengths.unique().tolist() == [2, 3, 4]
    assert ((torch.arange(4) < lengths[:, None]) == (targets != 0)).all()
    assert data.classes == ("", *"0123456789")
    assert targets.unique().tolist() == list(range(11))


def test_no_text_is_in_two_sets() -> None:
    """Of 100 possible ones, so that chance alone would have them meet."""
    data = ready(train=200, val=200, test=200, shortest=2, longest=2)
    sets = [set(texts(data, split)) for split in ("train", "val", "test")]
    assert min(map(len, sets)) > 20
    assert len(set.union(*sets)) == sum(map(len, sets))


def test_a_line_depends_on_its_set_and_number_alone() -> None:
    few = tables(ready())
    many = tables(ready(seed=5, train=90, val=25, test=40))
    for split, (images, targets) in few.items():
        assert torch.equal(images, many[split][0][: len(images)])
        assert torch.equal(targets, many[split][1][: len(targets)])


def test_lines_differ_in_looks_where_they_do_not_in_text() -> None:
    data = ready(train=50, shortest=1, longest=1, alphabet="0123456789abcdef")
    images, targets = tables(data)["train"]
    pairs = [(i, j) for i in range(50) for j in range(i) if targets[i, 0] == targets[j, 0]]
    assert pairs
    assert not any(torch.equal(images[i], images[j]) for i, j in pairs)


def test_ink_is_seen_on_every_line_and_all_of_it_is_inside() -> None:
    """At least 48 of 255 levels between paper and ink; the paper is seen at the edge."""
    images, _ = tables(ready())["train"]
    for image in images[:, 0].numpy().astype(int):
        paper = np.bincount(np.concatenate([image[0], image[-1]])).argmax()
        assert np.abs(image - paper).max() >= 40  # thin strokes do not reach the shade itself


def test_every_font_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    used = []
    (font,) = find_fonts(None, "01")
    monkeypatch.setattr("distill.data.text_lines.find_fonts", lambda *_: [font, "other"])
    drawn = fonts.drawn
    monkeypatch.setattr(
        "distill.data.text_lines.drawn", lambda text, one: (used.append(one), drawn(text, font))[1]
    )
    ready()
    assert set(used) == {font, "other"}
    assert 30 < used.count(font) < 80  # of 110


def test_the_sets_are_drawn_once(monkeypatch: pytest.MonkeyPatch) -> None:
    data = ready()
    before = data.pipeline.train
    monkeypatch.setattr("distill.data.text_lines.drawn", None)
    for stage in ("fit", "validate", "test"):
        data.setup(stage)
    assert data.pipeline.train is before


def test_the_fingerprint_is_that_of_the_lines() -> None:
    one, same, other = ready(), ready(batch_size=5), ready(alphabet="abcdefghij")
    assert one.fingerprint() == same.fingerprint()
    assert one.fingerprint() != other.fingerprint()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"val": 0}, "^train, val and test must be at least 0, 1 and 0, got 60, 0, 30$"),
        ({"test": -1}, "^train, val and test must be at least 0, 1 and 0, got 60, 20, -1$"),
        ({"alphabet": "001"}, "^alphabet must be characters, each once, no spaces, got '001'$"),
        ({"alphabet": "a b"}, "^alphabet must be characters, each once, no spaces, got 'a b'$"),
        ({"alphabet": ""}, "^alphabet must be characters"),
        ({"shortest": 7}, "^shortest must be in 1..longest, got 7 and 6$"),
        ({"shortest": 0}, "^shortest must be in 1..longest, got 0 and 6$"),
        ({"height": 4}, "^height and width must be at least 8, got 4 and 96$"),
        ({"seed": -1}, "^seed must be at least 0"),
        ({"fonts": "no/such"}, "^fonts needs folders or font files, no/such is missing$"),
    ],
)
def test_bad_arguments_are_refused_by_name(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message.replace("/", str(Path("/")))):
        ready(**arguments)


def test_too_few_strings_for_three_sets_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^alphabet and longest must give .* got 1 characters"):
        pytest.fail(f"{[draw_texts(split, 3, 'a', 1, 2) for split in ('train', 'val', 'test')]}")
