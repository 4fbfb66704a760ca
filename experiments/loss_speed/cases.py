"""What is measured: every loss at a typical size, and the usual form of some."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from distill import losses
from experiments.loss_speed import usual

Fed = dict[str, Tensor | list[Tensor]]


@dataclass(frozen=True)
class Case:
    """A loss with its inputs; a step is one forward and one backward pass.

    Attributes:
        loss: A module or function.
        inputs: Its arguments; gradients flow to those that require them.
    """

    loss: Callable[..., Tensor]
    inputs: Fed

    def step(self) -> Tensor:
        """The value, with fresh gradients at the inputs and parameters."""
        if isinstance(self.loss, nn.Module):
            self.loss.zero_grad()
        for given in self.inputs.values():
            for tensor in given if isinstance(given, list) else [given]:
                tensor.grad = None
        value = self.loss(**self.inputs)
        value.backward()  # type: ignore[no-untyped-call]
        return value.detach()


def embeddings(batch: int, width: int = 512) -> Fed:
    """Embeddings (128, 512)."""
    return {"student": _trained(batch, width), "teacher": torch.randn(batch, width)}


def logits(batch: int) -> Fed:
    """Logits (128, 100)."""
    return embeddings(batch, 100)


def labelled_logits(batch: int) -> Fed:
    """Logits (128, 100) and targets."""
    return logits(batch) | {"target": torch.randint(100, (batch,))}


def maps(batch: int) -> Fed:
    """Maps (128, 64, 8, 8) -> (128, 256, 8, 8)."""
    return {"student": _trained(batch, 64, 8, 8), "teacher": torch.randn(batch, 256, 8, 8)}


def equal_maps(batch: int) -> Fed:
    """Maps (128, 256, 8, 8)."""
    return maps(batch) | {"student": _trained(batch, 256, 8, 8)}


def tokens(batch: int) -> Fed:
    """Tokens (128, 65, 64) -> maps (128, 256, 8, 8)."""
    return maps(batch) | {"student": _trained(batch, 65, 64)}


def stage(batch: int) -> Fed:
    """Maps (128, 64, 8, 8) into and (128, 256, 8, 8) out of a stage."""
    one, other = equal_maps(batch), maps(batch)
    return {
        "student_first": other["student"],
        "student_last": one["student"],
        "teacher_first": torch.randn(batch, 64, 8, 8),
        "teacher_last": one["teacher"],
    }


def two_stages(batch: int) -> Fed:
    """Maps (128, 32, 16, 16), (128, 64, 8, 8) -> (128, 128, 16, 16), (128, 256, 8, 8)."""
    return {
        "student": [_trained(batch, 32, 16, 16), _trained(batch, 64, 8, 8)],
        "teacher": [torch.randn(batch, 128, 16, 16), torch.randn(batch, 256, 8, 8)],
    }


def contrasted(batch: int) -> Fed:
    """Embeddings (128, 512), 50,000 images, 16,384 negatives each."""
    numbers = {"target": torch.randint(100, (batch,)), "index": torch.arange(batch)}
    return embeddings(batch) | numbers


def classified(batch: int) -> Fed:
    """Logits (128, 100) and targets, without a teacher."""
    return {"input": _trained(batch, 100), "target": torch.randint(100, (batch,))}


def text_lines(batch: int) -> Fed:
    """Logits (128, 24, 37) and lines of 6 characters."""
    return {"input": _trained(batch, 24, 37), "target": torch.randint(1, 37, (batch, 6))}


def features(batch: int) -> Fed:
    """Embeddings (128, 512) and targets."""
    return {"features": _trained(batch, 512), "target": torch.randint(100, (batch,))}


def boxes(batch: int) -> Fed:
    """128 pairs of boxes."""
    corner, size = torch.rand(2, batch, 2), torch.rand(2, batch, 2)
    both = torch.cat([corner, corner + size], dim=2)
    return {"input": both[0].requires_grad_(), "target": both[1]}


def pixels(batch: int) -> Fed:
    """Logits (8, 21, 128, 128) and targets."""
    images = max(1, batch // 16)
    target = torch.randint(21, (images, 128, 128))
    return {"input": _trained(images, 21, 128, 128), "target": target}


def points(batch: int) -> Fed:
    """Logits (8, 5456, 80) at points, 1 in 50 of an object."""
    images = max(1, batch // 16)
    target = torch.randint(-49 * 80, 80, (images, 5456)).clamp_min(-1)
    return {"input": _trained(images, 5456, 80), "target": target}


def scores(batch: int) -> Fed:
    """Logits (8, 5456, 80) at points and scores."""
    found = points(batch)
    return found | {"target": torch.rand_like(found["input"])}


def edges(batch: int) -> Fed:
    """Logits (1024, 4, 16) of edges and distances."""
    rows = 8 * batch
    return {"input": _trained(rows, 4, 16), "target": 15 * torch.rand(rows, 4)}


def places(batch: int) -> Fed:
    """Maps (8, 256, 32, 32)."""
    images = max(1, batch // 16)
    return {"student": _trained(images, 256, 32, 32), "teacher": torch.randn(images, 256, 32, 32)}


def objects(batch: int) -> Fed:
    """Maps (8, 256, 32, 32) and 5 boxes an image."""
    found = places(batch)
    images = len(found["teacher"])
    corner, size = torch.rand(2, 5 * images, 2)
    row = torch.arange(images).repeat_interleave(5)[:, None]
    return found | {"boxes": torch.cat([row, corner, corner + size * (1 - corner)], 1)}


CASES: dict[str, tuple[Callable[[], nn.Module], Callable[[int], Fed]]] = {
    "ABLoss": (partial(losses.ABLoss, 64, 256), maps),
    "ATLoss": (losses.ATLoss, maps),
    "CCLoss": (losses.CCLoss, embeddings),
    "CIoULoss": (losses.CIoULoss, boxes),
    "CRDLoss": (partial(losses.CRDLoss, 512, 512, 50_000), contrasted),
    "CTCLoss": (losses.CTCLoss, text_lines),
    "CWDLoss": (losses.CWDLoss, equal_maps),
    "CenterLoss": (partial(losses.CenterLoss, 100, 512), features),
    "CrossEntropyLoss": (losses.CrossEntropyLoss, classified),
    "DISTLoss": (losses.DISTLoss, logits),
    "DIoULoss": (losses.DIoULoss, boxes),
    "DKDLoss": (losses.DKDLoss, labelled_logits),
    "DiceLoss": (losses.DiceLoss, pixels),
    "DistributionFocalLoss": (losses.DistributionFocalLoss, edges),
    "EmbeddingLoss": (partial(losses.EmbeddingLoss, 512, 512), embeddings),
    "FGDLoss": (partial(losses.FGDLoss, 256, 256), objects),
    "FSPLoss": (losses.FSPLoss, stage),
    "FTLoss": (partial(losses.FTLoss, 64, 256), maps),
    "FocalLoss": (losses.FocalLoss, classified),
    "GIoULoss": (losses.GIoULoss, boxes),
    "HardKDLoss": (losses.HardKDLoss, logits),
    "HintLoss": (partial(losses.HintLoss, 64, 256), maps),
    "IoULoss": (losses.IoULoss, boxes),
    "KDLoss": (losses.KDLoss, logits),
    "LogitStandardKDLoss": (losses.LogitStandardKDLoss, logits),
    "LovaszLoss": (losses.LovaszLoss, pixels),
    "MGDLoss": (partial(losses.MGDLoss, 64, 256), maps),
    "MapAdaptor": (
        lambda: losses.MapAdaptor(losses.HintLoss(64, 256), "tokens", student_prefix_tokens=1),
        tokens,
    ),
    "MultiLabelKDLoss": (losses.MultiLabelKDLoss, logits),
    "NSTLoss": (losses.NSTLoss, maps),
    "OverhaulLoss": (partial(losses.OverhaulLoss, 64, 256), maps),
    "PairwiseLoss": (losses.PairwiseLoss, places),
    "PKDLoss": (losses.PKDLoss, equal_maps),
    "PKTLoss": (losses.PKTLoss, embeddings),
    "QualityFocalLoss": (losses.QualityFocalLoss, scores),
    "RKDAngleLoss": (losses.RKDAngleLoss, embeddings),
    "RKDDistanceLoss": (losses.RKDDistanceLoss, embeddings),
    "RKDLoss": (losses.RKDLoss, embeddings),
    "ReviewKDLoss": (partial(losses.ReviewKDLoss, [32, 64], [128, 256]), two_stages),
    "SigmoidFocalLoss": (losses.SigmoidFocalLoss, points),
    "SPLoss": (losses.SPLoss, maps),
    "SSLDLoss": (losses.SSLDLoss, logits),
    "VIDLoss": (partial(losses.VIDLoss, 64, 256), maps),
}
USUAL: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "CCLoss": usual.cc,
    "NSTLoss": usual.nst,
    "PKTLoss": usual.pkt,
    "RKDAngleLoss": usual.rkd_angle,
    "SPLoss": usual.sp,
}


def case(name: str, form: str = "ours", batch: int = 128, width: int | None = None) -> Case:
    """A loss with random inputs, the same for both forms.

    Args:
        name: Of the class.
        form: ``ours`` or ``usual``.
        batch: Images.
        width: Of embeddings, where the loss takes them; None is 512.
    """
    make, feed = CASES[name]
    torch.manual_seed(0)
    inputs = feed(batch) if width is None else embeddings(batch, width)
    return Case(make() if form == "ours" else USUAL[name], inputs)


def _trained(*shape: int) -> Tensor:
    return torch.randn(shape, requires_grad=True)
