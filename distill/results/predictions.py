"""A run's predictions on its validation images, kept beside its result for pictures of them."""

from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.nn.functional import interpolate

from distill.core.files import write_tensors

FILE = "validation.safetensors"
_MOST_SHOWN, _LARGEST_SIDE = 24, 96


@dataclass
class Predictions:
    """What student and teacher said of every validation image, and a few of the images.

    Attributes:
        index: Sample numbers in the source (n,), int64.
        target: Class numbers (n,), int64; so are the next two.
        student: The student's classes (n,).
        teacher: The teacher's classes (n,); None where there is no teacher.
        confidence: The student's probability of its class (n,), float32.
        shown: Rows whose images are kept (m,), m <= 24: of those where the student differs from the
            teacher (without a teacher: from the label) the ones it is most confident of, in
            descending order.
        images: Their images (m, c, h, w), uint8, sides of at most 96 pixels.
    """

    index: Tensor
    target: Tensor
    student: Tensor
    teacher: Tensor | None
    confidence: Tensor
    shown: Tensor
    images: Tensor

    @property
    def reference(self) -> Tensor:
        """What the student is compared with: the teacher's classes, or else the labels."""
        return self.target if self.teacher is None else self.teacher

    def save(self, run_dir: Path) -> None:
        """Write ``validation.safetensors`` into a run directory."""
        tensors = {name: value for name, value in vars(self).items() if value is not None}
        write_tensors(run_dir / FILE, tensors)


def load_predictions(run_dir: Path) -> Predictions | None:
    """Read what a run left; None where it left none."""
    path = run_dir / FILE
    if not path.is_file():
        return None
    tensors = load_file(path)
    return Predictions(teacher=tensors.pop("teacher", None), **tensors)


class PredictionRecorder:
    """Collects predictions batch by batch, with no more images in memory than are kept."""

    def __init__(self) -> None:
        self._vectors: dict[str, list[Tensor]] = {}
        self._shown = torch.zeros(0, dtype=torch.int64)
        self._images = torch.zeros(0, dtype=torch.uint8)
        self._seen = 0

    def update(
        self, image: Tensor, index: Tensor, target: Tensor, student: Tensor, teacher: Tensor | None
    ) -> None:
        """Add a batch.

        Args:
            image: (b, c, h, w), uint8 in 0..255 or floating point in 0..1.
            index: Sample numbers (b,).
            target: Class numbers (b,).
            student: Logits (b, k).
            teacher: Logits (b, k), or None.
        """
        confidence, said = student.float().softmax(1).max(1)
        vectors = {"index": index, "target": target, "student": said, "confidence": confidence}
        if teacher is not None:
            vectors["teacher"] = teacher.argmax(1)
        for name, value in vectors.items():
            self._vectors.setdefault(name, []).append(value.cpu())
        differs = (said != vectors.get("teacher", target)).nonzero().flatten()
        best = differs[confidence[differs].argsort(descending=True, stable=True)[:_MOST_SHOWN]]
        self._keep(best.cpu() + self._seen, _small(image[best]).cpu())
        self._seen += len(image)

    def compute(self) -> Predictions:
        """All batches in one, in the order they came."""
        vectors = {name: torch.cat(parts) for name, parts in self._vectors.items()}
        teacher = vectors.pop("teacher", None)
        return Predictions(teacher=teacher, shown=self._shown, images=self._images, **vectors)

    def _keep(self, rows: Tensor, images: Tensor) -> None:
        """Of these and those kept so far, the images that the student is most confident of."""
        rows = torch.cat([self._shown, rows])
        images = torch.cat([self._images, images]) if self._seen else images
        confidence = torch.cat(self._vectors["confidence"])[rows]
        best = confidence.argsort(descending=True, stable=True)[:_MOST_SHOWN]
        self._shown, self._images = rows[best], images[best]


def _small(images: Tensor) -> Tensor:
    """Images as uint8, the longer side at most 96 pixels."""
    levels = images.float() / 255 if images.dtype == torch.uint8 else images.float()
    scale = _LARGEST_SIDE / max(images.shape[-2:])
    if scale < 1 and len(images):
        levels = interpolate(levels, scale_factor=scale, mode="bilinear", antialias=True)
    return (levels * 255).round().clamp(0, 255).byte()
