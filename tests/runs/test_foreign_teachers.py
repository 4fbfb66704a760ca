"""Networks of other projects as teachers, and students of ours in other projects."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import timm
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from distill import runs
from distill.core.errors import RecipeError
from distill.data import Digits, TextLines, fonts
from distill.losses import KDLoss, SSLDLoss
from distill.metrics import read_lines
from distill.modules import Distillation, Term
from students import crnn
from teachers import Resized, onnx_model, timm_model
from tests.fixtures.networks import tiny
from tests.fixtures.onnx_files import WEIGHT, saved
from tests.fixtures.recipes import RECIPE
from tests.fixtures.runs import QUIET

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*does not have many workers.*", "ignore:.*LeafSpec.*"
)
KD = Term(KDLoss(), inputs={"student": "student.logits", "teacher": "teacher.logits"})


class Means(nn.Module):
    """What the ONNX file of the fixtures computes, in torch."""

    input_normalization = ((0.0,), (1.0,))

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.from_numpy(WEIGHT))

    def forward(self, image: Tensor) -> Tensor:
        means: Tensor = image.expand(-1, 3, -1, -1).mean((2, 3)) @ self.weight
        return means


def onnx_means(folder: Path) -> nn.Module:
    path = saved(folder / "m.onnx", (4, 3, "h", "w"))
    return onnx_model(path, ["scores"], mean=[0.0], std=[1.0])


def trained(teacher: nn.Module, cache: Path) -> tuple[Distillation, dict[str, Tensor]]:
    torch.manual_seed(0)
    module = Distillation(teacher, tiny(8), {"kd": KD}, cache=str(cache))
    settings: dict[str, Any] = {"logger": False, "enable_checkpointing": False}
    settings |= {"enable_progress_bar": False, "enable_model_summary": False}
    settings |= {"accelerator": "cpu", "num_sanity_val_steps": 0, "max_epochs": 2}
    pl.Trainer(**settings).fit(module, Digits(train_samples=66, batch_size=16, seed=0))
    return module, module.student.state_dict()


def cached_logits(module: Distillation) -> Tensor:
    """What the cache holds of the first epoch."""
    cache = module.teaching.cache
    assert cache is not None
    entries = cache.store.read("teacher.logits", 0, list(range(1797)))
    records = [entry.data for entry in entries if entry is not None]
    assert len(records) == 66
    return torch.frombuffer(bytearray(b"".join(records)), dtype=torch.float32)


def test_an_onnx_file_trains_through_the_cache_as_the_torch_network_does(tmp_path: Path) -> None:
    torch_module, torch_weights = trained(Means(), tmp_path / "torch.sqlite")
    onnx_module, onnx_weights = trained(onnx_means(tmp_path), tmp_path / "onnx.sqlite")
    gap = cached_logits(torch_module) - cached_logits(onnx_module)
    assert gap.abs().max() < 1e-5
    for name, value in torch_weights.items():
        torch.testing.assert_close(onnx_weights[name], value, rtol=1e-5, atol=1e-5)
    again, read = trained(onnx_means(tmp_path), tmp_path / "onnx.sqlite")
    assert again.teaching.cache is not None
    assert again.teaching.cache.misses == 0
    assert all(torch.equal(onnx_weights[name], value) for name, value in read.items())


def test_a_cache_of_another_file_is_refused(tmp_path: Path) -> None:
    trained(onnx_means(tmp_path), tmp_path / "c.sqlite")
    saved(tmp_path / "m.onnx", (4, 3, "h", "w"), softmax=True)
    other = onnx_model(str(tmp_path / "m.onnx"), ["scores"], mean=[0.0], std=[1.0])
    with pytest.raises(RecipeError, match=r"model\.teacher\.graph\.sha256 was "):
        trained(other, tmp_path / "c.sqlite")


def test_a_student_goes_to_timm_and_comes_back(tmp_path: Path) -> None:
    student = {
        "class_path": "students.timm_model",
        "init_args": {"name": "test_resnet", "num_classes": 10, "in_channels": 1},
    }
    loss = {"ce": RECIPE["model"]["init_args"]["losses"]["ce"]}  # type: ignore[index]
    init_args = {"teacher": None, "student": student, "losses": loss}
    recipe = {
        "model": {"class_path": "distill.modules.Distillation", "init_args": init_args},
        "data": {"class_path": "distill.data.Digits", "init_args": {"train_samples": 64}},
        "trainer": {"max_epochs": 1, "accelerator": "cpu"},
    }
    runs.fit(recipe, tmp_path / "run", console=QUIET)
    file = str(tmp_path / "run" / "student.safetensors")
    there = timm.create_model("test_resnet", num_classes=10, in_chans=1, checkpoint_path=file)
    image = torch.rand(3, 1, 32, 32)
    back = timm_model("test_resnet", num_classes=10, in_channels=1, checkpoint=file)
    assert torch.equal(there.eval()(image), back.eval()(image))
    random = timm.create_model("test_resnet", num_classes=10, in_chans=1).eval()
    assert not torch.equal(random(image), back(image))
    save_file(there.state_dict(), tmp_path / "timm.safetensors")
    again = timm_model(
        "test_resnet", num_classes=10, in_channels=1, checkpoint=str(tmp_path / "timm.safetensors")
    )
    assert torch.equal(again.eval()(image), back(image))


@pytest.fixture
def recogniser(monkeypatch: pytest.MonkeyPatch) -> str:
    """PP-OCR's file, found without importing what brings it along."""
    found = find_spec("rapidocr_onnxruntime")
    if found is None or found.origin is None:
        pytest.skip("needs a file of PP-OCR: pip install --no-deps rapidocr-onnxruntime")
    monkeypatch.setattr(fonts, "_SYSTEM", ())
    return str(Path(found.origin).parent / "models" / "ch_PP-OCRv4_rec_infer.onnx")


def reader(path: str, width: int) -> nn.Module:
    """PP-OCR's recogniser for digits, on lines of a width."""
    classes = ["", *"0123456789"]
    gray = {"mean": [0.5], "std": [0.5]}
    network = onnx_model(path, gives="probabilities", classes=classes, **gray)  # type: ignore[arg-type]
    return Resized(network, (48, width))


def test_a_text_recogniser_of_another_toolkit_reads_lines(recogniser: str) -> None:
    data = TextLines(train=4, val=30, test=0)
    data.setup("fit")
    batch = data.example(4)
    logits = reader(recogniser, 288)((batch.image / 255 - 0.5) / 0.5)
    assert logits.shape == (4, 36, 11)
    read = [[n for n in line if n] for line in read_lines(logits)]
    wanted = [[n for n in line if n] for line in batch.target.tolist()]
    assert sum(a == b for a, b in zip(read, wanted, strict=True)) >= 3


def test_a_recogniser_of_other_steps_is_refused_before_training(recogniser: str) -> None:
    term = Term(SSLDLoss(), inputs={"student": "student.logits", "teacher": "teacher.logits"})
    student = crnn(11, height=16, in_channels=1)
    for width in (192, 288):
        module = Distillation(reader(recogniser, width), student, {"kd": term})
        trainer = pl.Trainer(
            accelerator="cpu",
            logger=False,
            enable_checkpointing=False,
            max_steps=1,
            enable_progress_bar=False,
            enable_model_summary=False,
            limit_val_batches=0,
        )
        data = TextLines(train=8, val=4, test=0, batch_size=4)
        if width == 192:
            trainer.fit(module, data)
            continue
        shapes = r"student\.logits \(2, 24, 11\), teacher\.logits \(2, 36, 11\): "
        with pytest.raises(RecipeError, match=shapes):
            trainer.fit(module, data)
