import copy
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from onnx import TensorProto
from torch import Tensor

from distill.core.fingerprint import fingerprint, module_fields
from distill.wiring.tap import Taps
from teachers import Cached, onnx_model
from tests.fixtures.onnx_files import WEIGHT, saved

SCORES = ["scores"]


def images(n: int = 5, channels: int = 3, side: int = 4) -> Tensor:
    return torch.rand(n, channels, side, side, generator=torch.Generator().manual_seed(n))


def expected(image: Tensor) -> Tensor:
    means = image.numpy().astype(np.float64).mean((2, 3))
    return torch.from_numpy(means @ WEIGHT.astype(np.float64)).float()


def close(found: Any, wanted: Tensor) -> None:
    assert isinstance(found, Tensor)
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("n", [0, 1, 2, 5])
@pytest.mark.parametrize("batch", ["b", 1, 2, 4])
def test_any_number_of_images_goes_through_any_batch_size(
    n: int, batch: str | int, tmp_path: Path
) -> None:
    path = saved(tmp_path / "m.onnx", (batch, 3, 4, 4))
    close(onnx_model(path, SCORES)(images(n)), expected(images(n)).reshape(n, 10))


def test_channels_may_come_last_and_in_the_other_order(tmp_path: Path) -> None:
    path = saved(tmp_path / "m.onnx", ("b", 4, 4, 3), layout="NHWC")
    close(onnx_model(path, SCORES, layout="NHWC")(images()), expected(images()))
    blue_first = onnx_model(path, SCORES, layout="NHWC", order="BGR")
    close(blue_first(images()), expected(images().flip(1)))


@pytest.mark.parametrize("dtype", [TensorProto.FLOAT16, TensorProto.DOUBLE])
def test_images_get_the_floating_point_type_of_the_file(dtype: int, tmp_path: Path) -> None:
    path = saved(tmp_path / "m.onnx", dtype=dtype)
    halves = images().half().float()
    close(onnx_model(path, SCORES)(halves), expected(halves))


def test_a_file_of_bytes_is_given_bytes(tmp_path: Path) -> None:
    path = saved(tmp_path / "m.onnx", dtype=TensorProto.UINT8)
    pixels = (images() * 255).round()
    close(onnx_model(path, SCORES)(pixels / 255) / 255, expected(pixels / 255))


def test_grey_images_are_repeated(tmp_path: Path) -> None:
    teacher = onnx_model(saved(tmp_path / "m.onnx"), SCORES, mean=[0.5], std=[0.5])
    assert teacher.input_normalization == ((0.5,), (0.5,))
    grey = images(channels=1)
    close(teacher(grey), expected(grey.expand(-1, 3, -1, -1)))


def test_images_are_taken_in_0_to_1_unless_told(tmp_path: Path) -> None:
    path = saved(tmp_path / "m.onnx")
    assert onnx_model(path, SCORES).input_normalization == ((0.0,) * 3, (1.0,) * 3)
    told = onnx_model(path, SCORES, mean=[0.1, 0.2, 0.3], std=[1, 2, 3])
    assert told.input_normalization == ((0.1, 0.2, 0.3), (1, 2, 3))


def test_logarithms_of_probabilities_are_logits(tmp_path: Path) -> None:
    path = saved(tmp_path / "m.onnx", softmax=True)
    teacher = onnx_model(path, SCORES, gives="probabilities")
    close(teacher(images()), expected(images()).log_softmax(1))


def test_columns_are_the_classes_of_the_data_in_their_order(tmp_path: Path) -> None:
    path = saved(tmp_path / "m.onnx", character="a\nb\nc")
    close(onnx_model(path, SCORES, columns=[3, 0])(images()), expected(images())[:, [3, 0]])
    by_name = onnx_model(path, SCORES, classes=["", "c", " ", "a"])
    close(by_name(images()), expected(images())[:, [0, 3, 4, 1]])


def test_several_outputs_have_names(tmp_path: Path) -> None:
    path = saved(tmp_path / "m.onnx")
    named = onnx_model(path, {"logits": "scores", "pooled": "means"})(images())
    assert list(named) == ["logits", "pooled"]
    close(named["logits"], expected(images()))
    assert list(onnx_model(path, ["means", "scores"])(images())) == ["means", "scores"]
    close(onnx_model(path, {"logits": "scores"})(images()), expected(images()))


def test_every_output_of_the_file_can_be_tapped(tmp_path: Path) -> None:
    teacher = onnx_model(saved(tmp_path / "m.onnx"), SCORES)
    taps = Taps(teacher, ["graph:means"])
    teacher(images())
    close(taps.take()["graph:means"], images().mean((2, 3)))


def test_there_is_no_gradient_and_copies_give_the_same(tmp_path: Path) -> None:
    teacher = onnx_model(saved(tmp_path / "m.onnx"), SCORES)
    given = teacher(images().requires_grad_())
    assert not given.requires_grad
    for other in (copy.deepcopy(teacher), pickle.loads(pickle.dumps(teacher))):  # noqa: S301
        assert torch.equal(other.to(torch.device("cpu"))(images()), given)
    assert torch.equal(Cached(teacher)(images()), given)


def test_the_fingerprint_holds_the_contents_and_not_the_place(tmp_path: Path) -> None:
    def of(path: str) -> str:
        return fingerprint(module_fields("t", onnx_model(path, SCORES)))

    first = saved(tmp_path / "m.onnx", external=True)
    (tmp_path / "moved").mkdir()
    moved = saved(tmp_path / "moved" / "n.onnx", external=True)
    assert of(first) == of(moved)
    weights = tmp_path / "moved" / "w.bin"
    weights.write_bytes(bytes(reversed(weights.read_bytes())))
    assert of(first) != of(moved)


def test_a_file_that_changes_is_not_read_for_the_old_one(tmp_path: Path) -> None:
    teacher = onnx_model(saved(tmp_path / "m.onnx"), SCORES)
    copied = pickle.dumps(teacher)
    other = onnx_model(saved(tmp_path / "m.onnx", softmax=True), SCORES)
    close(teacher(images()), expected(images()))
    close(other(images()), expected(images()).softmax(1))
    assert pickle.loads(copied).graph.sha256 != other.graph.sha256  # noqa: S301


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, r"outputs must say which are the logits, .*m\.onnx gives scores, means$"),
        ({"outputs": ["score"]}, r"no output 'score', did you mean 'scores'\?; it gives scores, "),
        ({"outputs": []}, r"^outputs must name one of the file's outputs, got none$"),
        ({"outputs": SCORES, "columns": [-1]}, r"^columns must be numbers of at least 0"),
        ({"outputs": SCORES, "columns": []}, r"^columns must be numbers of at least 0"),
        ({"outputs": SCORES, "classes": ["a"]}, r"does not name its classes: give their columns$"),
        ({"outputs": SCORES, "classes": ["a"], "columns": [0]}, r"^columns and classes say the"),
        ({"outputs": SCORES, "mean": [0.5]}, None),
        ({"outputs": SCORES, "mean": [0.5, 0.5]}, r"takes 3 channels, mean has 2$"),
        ({"outputs": SCORES, "std": [1.0, 1.0, 0.0]}, r"^mean and std must be of the same channel"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(
    arguments: dict[str, Any], message: str | None, tmp_path: Path
) -> None:
    path = saved(tmp_path / "m.onnx")
    if message is None:
        assert onnx_model(path, **arguments).input_normalization == ((0.5,), (1.0,))
        return
    with pytest.raises(ValueError, match=message):
        onnx_model(path, **arguments)


def test_channels_that_the_file_does_not_say_must_be_told(tmp_path: Path) -> None:
    path = saved(tmp_path / "m.onnx", ("b", "c", "h", "w"))
    with pytest.raises(ValueError, match=r"^mean and std are needed: .*m\.onnx does not say"):
        onnx_model(path, SCORES)


def test_a_class_that_is_not_there_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path / "m.onnx", character="a\nb\nc")
    with pytest.raises(ValueError, match=r"m\.onnx has no class 'd'$"):
        onnx_model(path, SCORES, classes=["", "d"])


@pytest.mark.parametrize(
    ("arguments", "image", "message"),
    [
        ({}, images(side=5), r"takes 4x4 pixels, got 5x5: teachers\.Resized gives it its size$"),
        ({}, images(channels=2), r"takes 3 channels, got 2$"),
        ({"columns": [10]}, images(), r"^columns need logits .* with k above 10, got \(5, 10\)$"),
    ],
)
def test_images_that_do_not_fit_are_refused(
    arguments: dict[str, Any], image: Tensor, message: str, tmp_path: Path
) -> None:
    teacher = onnx_model(saved(tmp_path / "m.onnx", ("b", 3, 4, 4)), SCORES, **arguments)
    with pytest.raises(ValueError, match=message):
        teacher(image)


def test_an_output_without_a_row_for_each_image_is_refused(tmp_path: Path) -> None:
    teacher = onnx_model(saved(tmp_path / "m.onnx"), SCORES)
    teacher.graph.batch = 3
    teacher.outputs = {"logits": "other"}
    with pytest.raises(ValueError, match=r"m\.onnx gives no row for each image in 'other'$"):
        teacher(images())
