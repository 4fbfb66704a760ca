import subprocess
import sys

FOREIGN = ("pytorch_lightning", "lightning_fabric", "timm", "wandb", "torchmetrics", "torchvision")


def test_the_losses_cost_torch_and_einops_only() -> None:
    code = "import sys, distill.losses; print('\\n'.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name.split(".")[0] for name in done.stdout.split()}
    assert "torch" in loaded
    assert not loaded & set(FOREIGN)
    own = {name for name in done.stdout.split() if name.split(".")[0] == "distill"}
    assert all(name == "distill" or name.startswith("distill.losses") for name in own)
