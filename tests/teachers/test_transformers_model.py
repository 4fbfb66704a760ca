import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from distill.core.fingerprint import fingerprint, module_fields
from teachers import transformers_model

try:
    import transformers
except ImportError:
    pytest.skip("needs transformers: pip install 'distill[hf]'", allow_module_level=True)

PROCESSOR = {
    "image_processor_type": "ViTImageProcessor",
    "image_mean": [0.5, 0.4, 0.3],
    "image_std": [0.2, 0.2, 0.25],
    "size": {"height": 32, "width": 32},
}
Save = Callable[..., str]


def network(kind: str = "ViTForImageClassification", **settings: Any) -> nn.Module:
    torch.manual_seed(0)
    if kind.startswith("ViT"):
        small = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
        small |= {"intermediate_size": 32, "image_size": 32, "patch_size": 8}
        config: Any = transformers.ViTConfig(**small, **settings)
    else:
        small = {"embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1]}
        config = transformers.ResNetConfig(**small, layer_type="basic", **settings)
    model: nn.Module = getattr(transformers, kind)(config).eval()
    return model


@pytest.fixture
def save(tmp_path: Path) -> Save:
    """Saves a network beside the settings of its images."""

    def save(model: Any, name: str = "m", **processor: Any) -> str:
        model.save_pretrained(tmp_path / name)
        text = json.dumps(PROCESSOR | processor)
        (tmp_path / name / "preprocessor_config.json").write_text(text)
        return str(tmp_path / name)

    return save


def images(side: int = 32) -> Tensor:
    return torch.rand(2, 3, side, side, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("kind", ["ViTForImageClassification", "ResNetForImageClassification"])
def test_a_saved_classifier_gives_its_logits(kind: str, save: Save) -> None:
    model = network(kind, num_labels=3)
    teacher = transformers_model(save(model))
    assert not teacher.training
    assert teacher.input_normalization == ((0.5, 0.4, 0.3), (0.2, 0.2, 0.25))
    torch.testing.assert_close(teacher(images()), model(images()).logits)
    assert teacher(images(20)).shape == (2, 3)


def test_features_are_an_output_of_a_model_without_a_classifier(save: Save) -> None:
    model = network("ViTModel")
    folder = save(model)
    for output in ("pooler_output", "last_hidden_state"):
        expected = getattr(model(images()), output)
        torch.testing.assert_close(transformers_model(folder, output)(images()), expected)
    message = r"has no weights for classifier\.bias .*; output: pooler_output takes its features$"
    with pytest.raises(ValueError, match=message):
        transformers_model(folder)


def test_a_pooler_without_weights_is_refused(save: Save) -> None:
    folder = save(network())
    assert transformers_model(folder, "last_hidden_state")(images()).shape == (2, 17, 16)
    with pytest.raises(ValueError, match=r"has no weights for pooler\.dense\.bias of ViTModel$"):
        transformers_model(folder, "pooler_output")


def test_images_are_resized_to_the_size_of_the_image_processor_or_the_one_given(save: Save) -> None:
    folder = save(network("ResNetForImageClassification"), size={"shortest_edge": 48})
    assert transformers_model(folder).size == (48, 48)
    assert transformers_model(folder, size=16).size == (16, 16)
    cropped = save(network(), size={"shortest_edge": 48}, do_center_crop=True, crop_size=32)
    assert transformers_model(cropped).size == (32, 32)
    with pytest.raises(ValueError, match=r"^size must be given: \S+ does not say it"):
        transformers_model(save(network(), size={}))


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"do_normalize": False}, lambda image: image),
        ({"do_rescale": False}, lambda image: (image * 255 - 0.5) / 0.25),
        ({"rescale_factor": 1 / 127.5}, lambda image: (image * 2 - 0.5) / 0.25),
    ],
)
def test_the_normalisation_is_what_the_image_processor_does(
    settings: dict[str, Any], expected: Callable[[Tensor], Tensor], save: Save
) -> None:
    settings = {"image_mean": [0.5] * 3, "image_std": [0.25] * 3} | settings
    mean, std = transformers_model(save(network(), **settings)).input_normalization
    image = images()
    normalized = (image - torch.tensor(mean).view(-1, 1, 1)) / torch.tensor(std).view(-1, 1, 1)
    torch.testing.assert_close(normalized, expected(image))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"image_mean": None}, "must have an image_mean and an image_std, got None"),
        ({"image_std": [0.0, 1.0, 1.0]}, "must have an image_mean and an image_std"),
        ({"rescale_offset": True}, "normalises images otherwise than by a mean and a std"),
    ],
)
def test_a_normalisation_of_another_kind_is_refused(
    settings: dict[str, Any], message: str, save: Save
) -> None:
    with pytest.raises(ValueError, match=message):
        transformers_model(save(network(), **settings))


def test_names_of_classes_are_carried(save: Save) -> None:
    named = network(id2label={0: "cat", 1: "dog"}, label2id={"cat": 0, "dog": 1})
    inside = transformers_model(save(named)).network.network
    assert inside.trained_classes == ("cat", "dog")
    assert not hasattr(transformers_model(save(network(), "n")).network.network, "trained_classes")


def test_the_fingerprint_does_not_depend_on_the_folder(save: Save) -> None:
    folders = [save(network(num_labels=3), name) for name in ("one", "other")]
    fields = [module_fields("t", transformers_model(folder)) for folder in folders]
    assert fingerprint(fields[0]) == fingerprint(fields[1])


def test_weights_that_are_pickled_are_not_read(save: Save) -> None:
    folder = Path(save(network()))
    (folder / "model.safetensors").unlink()
    torch.save(network().state_dict(), folder / "pytorch_model.bin")
    with pytest.raises(ValueError, match=r"^\S+ cannot be read: [^\n]*safetensors[^\n]*$"):
        transformers_model(str(folder))


def test_code_that_comes_with_a_model_is_not_run(save: Save, tmp_path: Path) -> None:
    folder = Path(save(network()))
    (folder / "own.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    config = json.loads((folder / "config.json").read_text()) | {"model_type": "own"}
    config["auto_map"] = {
        "AutoConfig": "own.C",
        "AutoModelForImageClassification": "own.M",
    }
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=r"^\S+ cannot be read: [^\n]+$"):
        transformers_model(str(folder))
    assert not (tmp_path / "ran").exists()


def test_a_folder_without_settings_of_images_is_refused(save: Save) -> None:
    folder = Path(save(network()))
    (folder / "preprocessor_config.json").unlink()
    with pytest.raises(
        ValueError, match=r"^\S+ has no preprocessor_config\.json, so nothing says how"
    ):
        transformers_model(str(folder))
