import inspect
import subprocess
import sys

import pytest
from jsonargparse import ArgumentParser
from torch import nn

import students

OTHERS = {"timm_model", "torchvision_model", "SimKD", "crnn", "segmenter", "detector", "headless"}
OTHERS |= {"elastic_chain", "from_architecture", "smp_model", "torchvision_segmenter"}
OTHERS.add("MixedCells")
CIFAR = sorted(set(students.__all__) - OTHERS)
NAMED = {"timm_model": "test_resnet", "torchvision_model": "squeezenet1_1"}


def build(class_path: str, **init_args: object) -> nn.Module:
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--network", type=nn.Module)
    config = parser.parse_object({"network": {"class_path": class_path, "init_args": init_args}})
    return parser.instantiate(config).network


@pytest.mark.parametrize("name", ["lenet5", "resnet8", "wrn_16_1"])
def test_cifar_factories_work_as_class_paths(name: str) -> None:
    network = build(f"students.{name}", num_classes=7, in_channels=1)
    assert list(network.modules())[-1].out_features == 7


@pytest.mark.parametrize("name", NAMED)
def test_zoo_factories_work_as_class_paths(name: str) -> None:
    assert isinstance(build(f"students.{name}", name=NAMED[name], num_classes=7), nn.Module)


def test_cifar_factories_share_one_signature() -> None:
    for name in CIFAR:
        signature = inspect.signature(getattr(students, name))
        assert signature.return_annotation is nn.Module, name
        told = [str(parameter) for parameter in signature.parameters.values()]
        assert told[:2] == ["num_classes: int", "in_channels: int = 3"], name
        assert all(" = " in further for further in told[2:]), name


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_classes": 0}, "num_classes must be at least 1, got 0"),
        ({"num_classes": 2, "in_channels": -1}, "in_channels must be at least 1, got -1"),
    ],
)
def test_sizes_below_one_are_refused_by_name(arguments: dict[str, int], message: str) -> None:
    for name in CIFAR:
        with pytest.raises(ValueError, match=f"^{message}$"):
            pytest.fail(f"{name} was made: {getattr(students, name)(**arguments)}")


def test_import_loads_no_model_library() -> None:
    code = "import sys, students; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"timm", "torchvision", "distill", "teachers"} & {*run.stdout.split()}
