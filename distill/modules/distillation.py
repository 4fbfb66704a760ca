"""Teacher -> student distillation, and plain training without a teacher."""

from collections.abc import Callable
from functools import partial
from typing import Any, Literal, cast

import pytorch_lightning as pl
import torch
from pytorch_lightning.cli import LRSchedulerCallable, OptimizerCallable
from torch import Tensor, nn

from distill.cache import CacheSettings, Encoding, Recall
from distill.core.batch import Batch
from distill.core.errors import RecipeError
from distill.core.fingerprint import module_fields
from distill.core.randomness import global_seed, reseed
from distill.modules.finite import check_total, check_weights
from distill.modules.frozen import Frozen, TeacherMode
from distill.modules.image_data import ImageData, fitting_logits, own_normalization, two_views
from distill.modules.normalization import Normalization
from distill.modules.optimization import Decay, Optimization
from distill.modules.scoring import accuracy_on, label_loss
from distill.wiring.gradient_norms import gradient_norms as norms_of_gradients
from distill.wiring.logged_steps import logs_this_step
from distill.wiring.loss_modules import LossModules
from distill.wiring.term import Term
from distill.wiring.wiring import Context, Wiring


class Distillation(pl.LightningModule):
    """Trains a student on a weighted sum of terms that may look into a frozen teacher.

    The teacher is held outside the module tree: it is in no optimizer and no checkpoint, its mode
    is the declared one throughout, and its weights after fit are bitwise those before it.

    Args:
        teacher: The network that gives targets, or None to train the student alone.
        student: The network that is trained.
        losses: The terms of the objective by name, see :class:`~distill.modules.Term`.
        optimizer: Makes the optimizer from the parameters of the student and of the losses; None
            gives SGD with learning rate 0.05, momentum 0.9 and weight decay 5e-4.
        scheduler: Makes the learning-rate schedule from the optimizer; None keeps the rate.
        scheduler_interval: Whether the schedule counts epochs or steps.
        teacher_mode: ``eval``, or ``batch_statistics``: batch norm uses the batch, as OverHaul's
            and SSLD's authors do, with its running statistics left alone.
        normalization: By ``student`` or ``teacher``, where it should not be the network's own
            ``input_normalization`` (set by pretrained models and finished runs) or else the data's.
        channels_last: Keep images and the weights of both networks in channels-last layout.
        decay: Which parameters the optimizer's weight decay acts on: ``all``, or ``weights``, which
            spares norms and biases.
        gradient_norms: A place of the student, ``student.logits`` or ``student@PATH``, at which the
            L2 norm of each weighted term's gradient is logged as ``train/gradient/<name>``, on
            the steps that are logged; a backward pass per term each. None logs none.
        cache: Where to keep what the terms read from the teacher: an SQLite file, or ``auto`` for
            one in ``runs/cache``. A view that is in it costs no pass of the teacher. None: the
            teacher looks at every batch, unless it is a ``teachers.Cached``, which says more.
        compile: Compile the training passes of both networks with ``torch.compile``.

    Raises:
        ValueError: If both ``cache`` and the teacher say where to keep its outputs.
        RecipeError: In ``setup``, if the terms do not fit the networks or the networks the data.
    """

    def __init__(  # noqa: PLR0913 - these are a recipe's keys, given by name
        self,
        teacher: nn.Module | None,
        student: nn.Module,
        losses: dict[str, Term],
        optimizer: OptimizerCallable | None = None,
        scheduler: LRSchedulerCallable | None = None,
        scheduler_interval: Literal["epoch", "step"] = "epoch",
        teacher_mode: TeacherMode = "eval",
        normalization: dict[Literal["student", "teacher"], Normalization] | None = None,
        channels_last: bool = False,
        decay: Decay = "all",
        gradient_norms: str | None = None,
        cache: str | None = None,
        compile: bool = False,
    ) -> None:
        super().__init__()
        self._format = torch.channels_last if channels_last else torch.contiguous_format
        self.student = student.to(memory_format=self._format)
        self._cache = CacheSettings(cache) if cache is not None else None
        own: CacheSettings | None = getattr(teacher, "cache_settings", None)
        if own is not None:
            if cache is not None:
                raise ValueError("cache must not be given twice: the teacher is a Cached one")
            # Its network takes its place, so that the paths of layers are the same without it.
            self._cache, teacher = own, cast(nn.Module, teacher).get_submodule("network")
        self._frozen: Frozen | None = None
        if teacher is not None:
            self._frozen = Frozen(teacher.to(memory_format=self._format), teacher_mode)
        self.terms = losses
        self.losses = LossModules({name: term.loss for name, term in losses.items()})
        self._optimization = Optimization(optimizer, scheduler, decay)
        self._interval = scheduler_interval
        self._watched = gradient_norms
        self.normalization: dict[str, Normalization] = {}
        for name, given in (normalization or {}).items():
            self.normalization[name] = given
        self._wiring: Wiring | None = None
        self.recall: Recall | None = None
        self._compile = compile
        self._compiled: dict[str, Callable[[Tensor], Tensor]] = {}
        self._digest = ""
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.teacher_top1: dict[str, float] = {}

    @property
    def teacher(self) -> nn.Module | None:
        """The frozen network."""
        return self._frozen.network if self._frozen else None

    def forward(self, image: Tensor) -> Tensor:
        """The student's logits (b, k) for images (b, c, h, w), uint8 or in 0..1."""
        return self._logits("student", image)

    def setup(self, stage: str) -> None:
        """Check the wiring with two samples, before anything is trained."""
        data = cast(ImageData, self.trainer.datamodule)  # type: ignore[attr-defined]
        for name, network in self._networks().items():
            self.normalization.setdefault(name, own_normalization(network, data))
        self.student_accuracy, self.teacher_accuracy = accuracy_on(data), accuracy_on(data)
        if self._wiring is not None:
            self._wiring.remove()
        self._wiring = None
        if stage == "fit":
            self._wiring = Wiring(self.terms, self.student, self.teacher, self._watched)
            self._optimization.check()
        self._dry_pass(data)
        self._compiled.clear()
        if self._wiring is not None:
            self._wiring.use_teacher_batchnorms()
            self.recall = self._opened_cache(data)

    def configure_optimizers(self) -> Any:  # noqa: ANN401 - Lightning's union of eight types
        """The optimizer, and a schedule that steps before that step's checkpoint is saved."""
        # Lightning steps epoch schedules after the epoch's last checkpoint, so a run resumed from
        # that one would miss a step: an epoch's batches are counted instead.
        epoch = len(self.trainer.datamodule.train_dataloader())  # type: ignore[attr-defined]
        parameters = [p for p in self.parameters() if p.requires_grad]
        return self._optimization.configure(parameters, epoch if self._interval == "epoch" else 1)

    def on_fit_start(self) -> None:
        """Remember what the teacher is."""
        self._digest = self._frozen.digest() if self._frozen else ""

    def on_train_epoch_start(self) -> None:
        """Check that the teacher is in its declared mode."""
        if self._frozen:
            self._frozen.check_mode()

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Both networks see the same view; the weighted terms are summed."""
        # Each process has its own dropout; a single one draws as it always did.
        rank = [self.global_rank] if self.global_rank else []
        reseed(global_seed(), "step", self.trainer.fit_loop.epoch_loop.total_batch_idx, *rank)
        wiring = cast(Wiring, self._wiring)
        known = self.teacher_outputs(batch)
        logits = {"student": self._logits("student", batch.image)}
        context = wiring.context(batch, logits, known)
        values = wiring.evaluate(context)
        weighted = {name: self.terms[name].weight * value for name, value in values.items()}
        total = torch.stack(list(weighted.values())).sum()
        check_total(total, values, self.global_step)
        if self._watched is not None and logs_this_step(self.trainer):
            norms = norms_of_gradients(weighted, context[self._watched])
            self.log_dict({f"train/gradient/{name}": norm for name, norm in norms.items()})
        told = {f"train/loss/{name}": value.detach() for name, value in values.items()}
        self.log_dict(told, sync_dist=self._several)
        self.log("train/loss", total.detach(), prog_bar=True, sync_dist=self._several)
        return total

    @torch.no_grad()
    def teacher_outputs(self, batch: Batch) -> Context:
        """What the terms read from the teacher for a batch, by key, from the cache if there is one.

        Available in ``fit`` alone.
        """
        wiring = cast(Wiring, self._wiring)
        if not wiring.teacher_keys:
            return {}

        def look() -> Context:
            return wiring.teacher_outputs(self._logits("teacher", batch.image))

        return self.recall.outputs(batch, look) if self.recall else look()

    def teacher_logits(self, batch: Batch) -> Tensor:
        """The teacher's logits for images as they are, from the cache where they are in it."""

        def look() -> Tensor:
            return self._logits("teacher", batch.image)

        # In the other mode what it says of an image depends on the batch.
        kept = self.recall if self._frozen and self._frozen.mode == "eval" else None
        return kept.logits(batch, look) if kept else look()

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Student's accuracy and loss on the labels; the teacher's accuracy the first time."""
        self._evaluate(batch, "val")

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        """As in validation, on the test images."""
        self._evaluate(batch, "test")

    def on_validation_epoch_end(self) -> None:
        """Top-1 accuracies in percent; the teacher's is kept, it cannot change."""
        self._log_top1("val")

    def on_test_epoch_end(self) -> None:
        """Top-1 accuracies in percent; the teacher's is kept, it cannot change."""
        self._log_top1("test")

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuse to save weights that are not finite."""
        check_weights(checkpoint["state_dict"], self.global_step)

    def on_fit_end(self) -> None:
        """Check that training left the teacher as it was."""
        if self._frozen and self._frozen.digest() != self._digest:
            raise RuntimeError("the teacher's weights or buffers changed during training")

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "Distillation":
        # Moves the teacher along (to a device, to a dtype) though it is outside the module tree.
        if self.teacher is not None:
            self.teacher._apply(fn)  # type: ignore[no-untyped-call]
        return super()._apply(fn, recurse)  # type: ignore[no-any-return, no-untyped-call]

    @property
    def _several(self) -> bool:
        return self.trainer.world_size > 1

    def _networks(self) -> dict[str, nn.Module]:
        networks = {"student": self.student}
        return networks | ({"teacher": self.teacher} if self.teacher is not None else {})

    def _logits(self, name: str, image: Tensor) -> Tensor:
        normalized = self.normalization[name](image).to(self.dtype)
        run: Callable[[Tensor], Tensor] = self._networks()[name]
        if self._compile and self.training:
            if name not in self._compiled:
                self._compiled[name] = torch.compile(run)
            run = self._compiled[name]
        return run(normalized.contiguous(memory_format=self._format))

    def _opened_cache(self, data: ImageData) -> Recall | None:
        names = cast(Wiring, self._wiring).teacher_keys
        if self._cache is None or self._frozen is None or not names:
            return None
        if not hasattr(data, "fingerprint"):
            needed = "needs a datamodule with a fingerprint, as those of distill.data"
            raise RecipeError("model.cache", f"{needed}, got {type(data).__name__}")
        fields = module_fields("model.teacher", self._frozen.network) | {
            "model.teacher_mode": self._frozen.mode,
            "model.normalization.teacher": str(self.normalization["teacher"]),
            "trainer.precision": str(self.trainer.precision),
        }
        fields.pop("model.teacher.input_normalization", None)  # the one in use is told above
        mode = self._frozen.mode
        try:
            fields |= data.fingerprint(of_batch=mode == "batch_statistics")
        except ValueError as error:
            told = f"in mode {mode} what a teacher says depends on the batch, and {error}"
            raise RecipeError("model.cache", told) from error
        return Recall(self._cache, fields, names)

    def _dry_pass(self, data: ImageData) -> None:
        batch = two_views(data, self.device)
        self.eval()
        with torch.no_grad():
            look = partial(fitting_logits, classes=data.classes, line_length=batch.line_length)
            logits = {
                name: look(f"model.{name}", network, partial(self._logits, name), batch.image)
                for name, network in self._networks().items()
            }
            if self._wiring is not None:
                stored = Encoding(self._cache).round_trip if self._cache else None
                self.shapes = self._wiring.dry_pass(batch, logits, stored)
        self.train()

    def _evaluate(self, batch: Batch, stage: str) -> None:
        logits = self._logits("student", batch.image).float()
        n = len(batch.image)
        self.student_accuracy.update(logits, batch.target)
        loss = label_loss(logits, batch.target)
        self.log(f"{stage}/loss", loss, batch_size=n, sync_dist=self._several)
        if self._frozen and stage not in self.teacher_top1:
            self.teacher_accuracy.update(self.teacher_logits(batch), batch.target)
        if self._wiring is not None:
            self._wiring.forget()

    def _log_top1(self, stage: str) -> None:
        top1 = 100 * self.student_accuracy.compute()
        self.log(f"{stage}/top1", top1, prog_bar=True, sync_dist=self._several)
        self.student_accuracy.reset()
        if self._frozen and stage not in self.teacher_top1:
            self.teacher_top1[stage] = (100 * self.teacher_accuracy.compute()).item()
            self.teacher_accuracy.reset()
