"""What a recipe must not run: inputs that leave a file behind if something calls or reads them."""

import os
import pickle
from pathlib import Path
from typing import Any

MODULE = """\
import pathlib
import torch

def touch():
    pathlib.Path({canary!r}).touch()

touch()

class Network(torch.nn.Module):
    def __init__(self, *given, **named):
        super().__init__()
        touch()

def network(*given, **named) -> torch.nn.Module:
    return Network()
"""
HUB = "import pathlib\ndef net(*given, **named):\n    pathlib.Path({canary!r}).touch()\n"


class Touches:
    """A pickle of it touches a file when it is read."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[Any, tuple[str, ...]]:
        return os.mkdir, (str(self._path),)


def lay_out(folder: Path, canary: Path) -> dict[str, Any]:
    """Write the files, and give what would run them, by kind.

    Args:
        folder: Where; it must be on ``sys.path``.
        canary: The file or folder that must not appear.
    """
    (folder / "canary_module.py").write_text(MODULE.format(canary=str(canary)))
    (folder / "hubconf.py").write_text(HUB.format(canary=str(canary)))
    pickled = folder / "weights.pth"
    pickled.write_bytes(pickle.dumps(Touches(canary)))
    spec = "class_path: canary_module.Network\n"
    (folder / "spec.yaml").write_text(spec)
    (folder / "spec.json").write_text('{"class_path": "canary_module.Network"}')
    (folder / "specs.yaml").write_text(f"- {spec}")
    (folder / "lines.txt").write_text("canary_module.Network\n")
    (folder / "terms.yaml").write_text("ce:\n  loss: canary_module.Network\n")
    (folder / "args.yaml").write_text(f"init_args:\n  model:\n    {spec}")
    code = f"__import__('pathlib').Path({str(canary)!r}).touch()"
    return _texts(folder, code) | _foreign() | _of_allowed_packages(folder, pickled, code)


def _texts(folder: Path, code: str) -> dict[str, Any]:
    files = ("spec.yaml", "spec.json", "specs.yaml", "lines.txt", "terms.yaml", "args.yaml")
    paths = {f"path of {name}": str(folder / name) for name in files}
    return paths | {
        "path in a list": [str(folder / "spec.yaml")],
        "path in a mapping": {"one": str(folder / "spec.yaml")},
        "path as loss": {"ce": {"loss": str(folder / "spec.yaml")}},
        "document": "{class_path: canary_module.Network}",
        "document in a list": ["{class_path: canary_module.Network}"],
        "document of terms": "{ce: {loss: {class_path: canary_module.Network}}}",
        "document of lines": "class_path: canary_module.Network\ninit_args: {}",
        "lambda": f"lambda *given: {code}",
        "lambda in a list": [f"lambda *given: {code}"],
        "code": code,
    }


def _foreign() -> dict[str, Any]:
    paths = {
        "foreign class": "canary_module.Network",
        "foreign function": "canary_module.network",
        "foreign class behind an allowed module": "distill.losses.canary_module.Network",
        "foreign function behind an allowed module": "distill.losses.canary_module.network",
        "foreign class under an allowed name": "distill.losses.CanaryNetwork",
    }
    values: dict[str, Any] = {}
    for name, path in paths.items():
        values |= {name: path, f"{name} with arguments": {"class_path": path, "init_args": {}}}
    return values | {
        "foreign class in a list": [{"class_path": "canary_module.Network"}],
        "foreign class in a mapping": {"one": {"class_path": "canary_module.Network"}},
        "foreign class without init": {"init_args": {"x": {"class_path": "canary_module.Network"}}},
    }


def _of_allowed_packages(folder: Path, pickled: Path, code: str) -> dict[str, Any]:
    hub = {"repo_or_dir": str(folder), "model": "net", "source": "local"}
    calls: dict[str, dict[str, Any]] = {
        "torch.load": {"f": str(pickled), "weights_only": False},
        "torch.serialization.load": {"f": str(pickled), "weights_only": False},
        "torch.hub.load": hub,
        "torch.hub.torch.hub.load": hub,
        "torch.nn.modules.module.torch.hub.load": hub,
        "torch.jit.load": {"f": str(pickled)},
        "torch.jit.ScriptModule": {},
        "torch.jit.CompilationUnit": {"lang": code},
        "torch.export.load": {"f": str(pickled)},
        "torch.package.PackageImporter": {"file_or_buffer": str(pickled)},
        "torch.fx.GraphModule": {"root": {}, "graph": code},
        "torch.fx.symbolic_trace": {"root": "canary_module.Network"},
        "torch.compile": {"model": "canary_module.Network"},
        "torch.utils.benchmark.Timer": {"stmt": code},
        "torch.utils.cpp_extension.load_inline": {"name": "canary", "cpp_sources": ""},
        "torch.utils.cpp_extension.subprocess.Popen": {"args": ["touch", str(pickled)]},
        "torch.utils.model_zoo.load_url": {"url": pickled.as_uri()},
        "torch.hub.load_state_dict_from_url": {"url": pickled.as_uri(), "weights_only": False},
        "torch.multiprocessing.Process": {"target": code},
        "torch.distributed.nn.RemoteModule": {"remote_device": "cpu", "module_cls": code},
        "torch.os.system": {"command": f"touch {folder}/canary"},
        "torch.nn.functional.importlib.import_module": {"name": "canary_module"},
        "torch.testing._internal.common_utils.run_tests": {},
        "torchvision.datasets.utils.download_url": {"url": pickled.as_uri(), "root": str(folder)},
        "torchvision.models.feature_extraction.create_feature_extractor": {"model": code},
        "timm.create_model": {"model_name": "resnet10t", "checkpoint_path": str(pickled)},
        "timm.models.load_checkpoint": {"model": {}, "checkpoint_path": str(pickled)},
        "pytorch_lightning.callbacks.LambdaCallback": {"setup": f"lambda *given: {code}"},
        "pytorch_lightning.cli.LightningCLI": {"args": {"model": "canary_module.Network"}},
        "pytorch_lightning.LightningModule.load_from_checkpoint": {"checkpoint_path": str(pickled)},
        "pytorch_lightning.Trainer": {"callbacks": str(folder / "specs.yaml")},
        "teachers.from_checkpoint": {"model": str(folder / "spec.yaml"), "path": str(pickled)},
        "teachers.Ensemble": {"members": str(folder / "specs.yaml")},
        "teachers.Ensemble ": {"members": [str(folder / "spec.yaml")]},
        "torch.optim.lr_scheduler.LambdaLR": {"lr_lambda": f"lambda epoch: {code}"},
        "torch.optim.lr_scheduler.LambdaLR ": {"lr_lambda": "canary_module.network"},
        "distill.modules.Warmup": {"length": 1, "then": str(folder / "spec.yaml")},
        "torch.nn.TripletMarginWithDistanceLoss": {"distance_function": "canary_module.network"},
        "torch.nn.TransformerEncoderLayer": {"d_model": 2, "nhead": 1, "activation": "os.getcwd"},
        "torch.nn.Linear": {
            "in_features": 1,
            "out_features": 1,
            "device": {"class_path": "canary_module.Network"},
        },
        "torch.nn.Linear ": {
            "in_features": 1,
            "out_features": 1,
            "device": "{class_path: canary_module.Network}",
        },
    }
    return {
        f"call of {path}": {"class_path": path.strip(), "init_args": arguments}
        for path, arguments in calls.items()
    }
