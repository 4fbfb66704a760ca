"""How many bits near duplicates and other images differ in, on 13,000 images of CIFAR-10.

Run with ``python experiments/ssld/threshold.py IMAGES``.
"""

import io
import sys
from collections.abc import Callable

import torch
import torchvision.transforms.v2.functional as TF
from PIL import Image
from torch import Tensor

from distill.core.randomness import permutation
from distill.data.sources import open_unlabelled
from distill.ssld.perceptual import mirrored, nearest, perceptual_hash

CHANGED, POOL, OTHERS = 1500, 10000, 3000


def jpeg(image: Tensor, quality: int) -> Tensor:
    buffer = io.BytesIO()
    TF.to_pil_image(image).save(buffer, "JPEG", quality=quality)
    return TF.pil_to_tensor(Image.open(buffer))


CHANGES: dict[str, Callable[[Tensor], Tensor]] = {
    "JPEG, quality 90": lambda image: jpeg(image, 90),
    "JPEG, quality 75": lambda image: jpeg(image, 75),
    "JPEG, quality 50": lambda image: jpeg(image, 50),
    "brightness x 1.1": lambda image: TF.adjust_brightness(image, 1.1),
    "brightness + 12": lambda image: (image.int() + 12).clamp(0, 255).byte(),
    "24 x 24 and back": lambda image: TF.resize(TF.resize(image, [24, 24]), [32, 32]),
}


def main() -> None:
    source = open_unlabelled(sys.argv[1])
    chosen = permutation(1, len(source.targets))[: POOL + OTHERS]
    images = torch.stack([TF.pil_to_tensor(source.image(int(i))) for i in chosen])
    bits = perceptual_hash(images)
    for name, change in CHANGES.items():
        again = perceptual_hash(torch.stack([change(image) for image in images[:CHANGED]]))
        differ = (again ^ bits[:CHANGED]).sum(1)
        within = 100 * (differ <= 6).double().mean()
        print(f"{name:18} median {differ.median()}, most {differ.max()}; {within:.1f} % within 6")
    others = bits[POOL:]
    differ, _ = nearest(bits[:POOL], torch.cat([others, mirrored(others)]))
    for most in (2, 3, 4, 5, 6, 8, 10):
        print(f"within {most:2} bits of one of {OTHERS} others: {(differ <= most).sum()} of {POOL}")


if __name__ == "__main__":
    main()
