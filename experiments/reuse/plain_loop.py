"""Three losses of the toolkit in a plain PyTorch loop, between two networks of timm.

python experiments/reuse/plain_loop.py
"""

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from timm.models.mobilenetv3 import MobileNetV3, mobilenetv3_small_050
from timm.models.resnet import ResNet, resnet10t
from torch import Tensor

from distill.losses import HintLoss, KDLoss, RKDLoss

STAGE, STEPS, BATCH = 2, 20, 32  # stage 2 has a stride of 8 in both networks

torch.manual_seed(0)
digits = load_digits()
images = F.interpolate(torch.tensor(digits.images[:, None] / 16).float(), size=32)
targets = torch.tensor(digits.target)
teacher = resnet10t(in_chans=1, num_classes=10).eval()
student = mobilenetv3_small_050(in_chans=1, num_classes=10).train()
channels = [model.feature_info[STAGE]["num_chs"] for model in (student, teacher)]
kd, rkd, hint = KDLoss(temperature=4.0), RKDLoss(), HintLoss(*channels)
parameters = [*student.parameters(), *hint.parameters()]  # a hint trains its projection
optimizer = torch.optim.Adam(parameters, lr=1e-3)


def look(model: MobileNetV3 | ResNet, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Maps of a stage, the embedding and the logits, in one pass."""
    last, (maps,) = model.forward_intermediates(image, indices=[STAGE])
    return maps, model.forward_head(last, pre_logits=True), model.forward_head(last)


for step in range(STEPS):
    batch = torch.randint(len(images), (BATCH,))
    with torch.no_grad():
        maps_t, embedding_t, logits_t = look(teacher, images[batch])
    maps_s, embedding_s, logits_s = look(student, images[batch])
    loss = F.cross_entropy(logits_s, targets[batch])
    loss = loss + 0.9 * kd(logits_s, logits_t) + rkd(embedding_s, embedding_t)
    loss = loss + hint(maps_s, maps_t)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    print(step, loss.item())
