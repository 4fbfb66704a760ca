import importlib.util
from pathlib import Path

import onnx
import pytest
import torch
from onnx import TensorProto, helper

from teachers import onnx_file, onnx_model
from tests.fixtures.onnx_files import saved


def test_a_file_that_is_not_there_is_named() -> None:
    with pytest.raises(ValueError, match=r"^no such file: nowhere\.onnx$"):
        onnx_model("nowhere.onnx")


@pytest.mark.parametrize("content", [b"", b"no network", b"\x08\x07"])
def test_a_damaged_file_is_named_in_one_line(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(content)
    with pytest.raises(ValueError, match=r"^\S+m\.onnx is damaged, or no ONNX file[^\n]*$"):
        onnx_model(str(tmp_path / "m.onnx"))


def test_a_truncated_file_is_named_in_one_line(tmp_path: Path) -> None:
    path = Path(saved(tmp_path / "m.onnx"))
    whole = path.read_bytes()
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r"^\S+m\.onnx [^\n]*$"):
            onnx_model(str(path), ["scores"])


@pytest.mark.parametrize("package", ["onnx", "onnxruntime"])
def test_a_missing_package_names_the_extra(
    package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = saved(tmp_path / "m.onnx")
    found = importlib.util.find_spec
    monkeypatch.setattr(onnx_file, "find_spec", lambda n: None if n == package else found(n))
    message = rf"^onnx_model needs {package}: pip install 'distill\[export\]'$"
    with pytest.raises(ValueError, match=message):
        onnx_model(path, ["scores"])


def test_weights_in_another_file_are_read_and_missed(tmp_path: Path) -> None:
    path = saved(tmp_path / "m.onnx", external=True)
    alone = onnx_model(saved(tmp_path / "alone.onnx"), ["scores"])
    image = torch.rand(2, 3, 4, 4)
    assert torch.equal(onnx_model(path, ["scores"])(image), alone(image))
    (tmp_path / "w.bin").unlink()
    with pytest.raises(ValueError, match=r"m\.onnx keeps its weights in .*w\.bin, which is not"):
        onnx_model(path, ["scores"])


def test_weights_outside_of_the_folder_are_refused(tmp_path: Path) -> None:
    path = saved(tmp_path / "m.onnx", external=True)
    model = onnx.load(path, load_external_data=False)
    (place,) = [e for e in model.graph.initializer[0].external_data if e.key == "location"]
    place.value = "../w.bin"
    Path(path).write_bytes(model.SerializeToString())
    with pytest.raises(ValueError, match=r"names a file outside of its folder: \.\./w\.bin$"):
        onnx_model(path, ["scores"])


def test_operators_of_a_library_are_refused(tmp_path: Path) -> None:
    shape = ["b", 3, 4, 4]
    graph = helper.make_graph(
        [helper.make_node("Own", ["image"], ["logits"], domain="com.example")],
        "g",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, shape)],
    )
    sets = [helper.make_opsetid("", 13), helper.make_opsetid("com.example", 1)]
    onnx.save(helper.make_model(graph, opset_imports=sets, ir_version=8), tmp_path / "m.onnx")
    with pytest.raises(ValueError, match=r"m\.onnx cannot be run by onnxruntime: [^\n]*Own"):
        onnx_model(str(tmp_path / "m.onnx"))


def test_a_file_of_something_else_than_images_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path / "m.onnx", dtype=TensorProto.INT64)
    with pytest.raises(ValueError, match=r"must take one batch of images, takes image tensor\(int"):
        onnx_model(path, ["scores"])


def test_a_file_that_changed_is_not_opened_for_the_old_one(tmp_path: Path) -> None:
    path = Path(saved(tmp_path / "m.onnx"))
    old = onnx_file.digest(path)
    saved(path, softmax=True)
    with pytest.raises(ValueError, match=r"m\.onnx has changed since it was opened$"):
        onnx_file.session(path, old)


def test_it_uses_as_many_threads_as_torch(tmp_path: Path) -> None:
    path = Path(saved(tmp_path / "m.onnx"))
    options = onnx_file.session(path, onnx_file.digest(path)).get_session_options()
    assert options.intra_op_num_threads == torch.get_num_threads()
    assert options.inter_op_num_threads == 1
