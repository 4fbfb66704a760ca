import json
import shutil
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from distill import runs
from distill.core.errors import RecipeError
from distill.modules import Normalization
from distill.tools.load_student import Student, load_student
from tests.fixtures.recipes import RECIPE
from tests.fixtures.runs import QUIET

TRUSTED = ("tests",)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run_dir = tmp_path_factory.mktemp("runs") / "run"
    trainer = RECIPE["trainer"] | {"max_epochs": 1, "log_every_n_steps": 5}
    runs.fit({**RECIPE, "trainer": trainer}, run_dir, trusted=TRUSTED, console=QUIET)
    return run_dir


def damaged(run: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(run, tmp_path / "copy"))


def image(n: int = 3, size: int = 8) -> Tensor:
    draw = torch.Generator().manual_seed(0)
    return torch.randint(256, (n, 1, size, size), generator=draw, dtype=torch.uint8)


def means() -> Student:
    """Its logit is the mean of the image."""
    network = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return Student(network, Normalization([0.0], [0.5]), ("a",), (4, 6), resize=True)


def test_the_student_is_the_run_s_with_its_normalisation(run: Path) -> None:
    session = runs.Session(
        json.loads(json.dumps(RECIPE)), run, TRUSTED
    )  # the networks of the recipe, untrained
    session.set_up_data()
    session.module.load_state_dict(
        torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"],
        strict=False,
    )
    session.model.networks.set_up(session.data)  # type: ignore[attr-defined]
    session.module.eval()
    expected = session.model.networks.outputs("student", image())
    student = load_student(run, trusted=TRUSTED)
    assert not student.training
    assert torch.equal(student(image()), expected)
    torch.testing.assert_close(student(image().float() / 255), expected)
    assert torch.equal(student(image().double() / 255), student(image().float() / 255))


def test_it_knows_its_classes_and_size(run: Path) -> None:
    student = load_student(str(run), trusted=TRUSTED)
    assert student.classes == tuple("0123456789")
    assert student.input_size == (8, 8)


def test_loading_draws_from_no_generator(run: Path) -> None:
    before = torch.random.get_rng_state()
    load_student(run, trusted=TRUSTED)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_images_of_another_size_are_refused_or_stretched(run: Path) -> None:
    with pytest.raises(ValueError, match="images must be 8 x 8, got 16 x 16: resize them, or load"):
        load_student(run, trusted=TRUSTED)(image(size=16))
    student = load_student(run, resize=True, trusted=TRUSTED)
    smaller = F.interpolate(image(size=16).float() / 255, (8, 8), mode="bilinear", antialias=True)
    assert torch.equal(student(image(size=16)), student(smaller))
    assert torch.equal(student(image()), load_student(run, trusted=TRUSTED)(image()))


def test_an_image_in_one_colour_keeps_it_when_it_is_stretched() -> None:
    wide = torch.full((2, 1, 9, 40), 51, dtype=torch.uint8)
    torch.testing.assert_close(means()(wide), torch.full((2, 1), 0.4))


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (image()[0], r"images must be \(b, c, h, w\), uint8 or in 0..1, got uint8 \(1, 8, 8\)"),
        (image().long(), r"images must be \(b, c, h, w\), uint8 or in 0..1, got int64 \(3, 1, 8"),
        (image().float(), r"images must be uint8 or in 0..1, not normalised, got 0..254"),
        (image().float() / 60 - 2, r"images must be uint8 or in 0..1, not normalised, got -2..2.2"),
        (image().expand(3, 3, 8, 8), "its mean and std are for 1 channels, the images have 3"),
    ],
)
def test_other_images_are_told_in_a_line(run: Path, given: Tensor, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        load_student(run, trusted=TRUSTED)(given)


def test_it_can_be_exported() -> None:
    pixels = torch.rand(2, 1, 4, 6)
    program = torch.export.export(means(), (pixels,)).module()
    torch.testing.assert_close(program(pixels), 2 * pixels.mean((2, 3)))


def test_weights_that_rotted_are_refused(run: Path, tmp_path: Path) -> None:
    copy = damaged(run, tmp_path)
    weights = copy / "student.safetensors"
    content = bytearray(weights.read_bytes())
    content[-3] ^= 64
    weights.write_bytes(content)
    with pytest.raises(RecipeError, match="is damaged: it does not match its hash"):
        load_student(copy, trusted=TRUSTED)


def test_a_run_that_does_not_say_how_images_are_read_is_refused(run: Path, tmp_path: Path) -> None:
    copy = damaged(run, tmp_path)
    (copy / "preprocess.json").unlink()
    with pytest.raises(RecipeError, match=r"preprocess\.json: is missing: an earlier version"):
        load_student(copy, trusted=TRUSTED)


def test_classes_of_packages_that_nobody_trusts_are_not_made(run: Path) -> None:
    with pytest.raises(RecipeError, match=r"^model.student"):
        load_student(run)
