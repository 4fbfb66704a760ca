"""The questionnaire that every distillation loss answers."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

Inputs = dict[str, Tensor]

FAST = settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.differing_executors],
    derandomize=True,
)
FULL = settings(FAST, max_examples=500)
KINDS = ("random", "equal rows", "zeros", "constant", "cluster", "a zero row", "an outlier")


def batches(largest: int) -> st.SearchStrategy[dict[str, object]]:
    """What a batch may be like; kinds and powers of ten of student and teacher differ."""
    of_both = {"kinds": st.sampled_from(KINDS), "exponents": st.integers(-8, 8)}
    return st.fixed_dictionaries(
        {name: st.tuples(value, value) for name, value in of_both.items()}
        | {
            "batch": st.integers(0, largest),
            "equal": st.booleans(),
            "dtype": st.sampled_from([torch.float32, torch.bfloat16, torch.float16]),
            "seed": st.integers(0, 99),
        }
    )


class LossContract:
    """Subclass it as ``Test<Loss>`` and say how the loss is made, fed and defined.

    A subclass whose loss is not zero for equal inputs, or needs other inputs than ``student`` and
    ``teacher``, says so by overriding the attributes and ``inputs``.
    """

    shape: tuple[int, ...]
    # After the batch, where the teacher's inputs have another shape than the student's.
    teacher_shape: tuple[int, ...] | None = None
    students: tuple[str, ...] = ("student",)
    teachers: tuple[str, ...] = ("teacher",)
    refusals: dict[str, tuple[Callable[[], object], str]]
    zero_when_equal = True
    # Gradients of a loss are compared by finite differences away from its kinks.
    gradcheck_seed = 0

    def make(self) -> nn.Module:
        raise NotImplementedError

    def oracle(self, loss: nn.Module, **inputs: np.ndarray) -> float:
        """The definition in numpy float64, by loops."""
        raise NotImplementedError

    def inputs(self, seed: int = 0, shape: tuple[int, ...] | None = None) -> Inputs:
        """Random float64 inputs whose first dimension is the batch."""
        generator = torch.Generator().manual_seed(seed)
        shape = shape or self.shape
        teacher_shape = (shape[0], *(self.teacher_shape or shape[1:]))
        shapes = dict.fromkeys(self.students, shape) | dict.fromkeys(self.teachers, teacher_shape)
        return {
            name: torch.randn(size, generator=generator, dtype=torch.float64)
            for name, size in shapes.items()
        }

    def loss(self, dtype: torch.dtype = torch.float64) -> nn.Module:
        torch.manual_seed(1)
        return self.make().to(dtype)

    def fed(self, inputs: Inputs, dtype: torch.dtype = torch.float64) -> Inputs:
        """Inputs in a type, with gradients for the student's and the teacher's."""
        own = {*self.students, *self.teachers}
        return {
            name: value.detach().to(dtype, copy=True).requires_grad_() if name in own else value
            for name, value in inputs.items()
        }

    def test_it_agrees_with_its_definition_on_100_inputs(self) -> None:
        for seed in range(100):
            inputs, loss = self.inputs(seed), self.loss()
            arrays = {name: value.numpy() for name, value in inputs.items()}
            expected = self.oracle(loss, **arrays)
            assert loss(**inputs).item() == pytest.approx(expected, rel=1e-6, abs=1e-12)

    def test_it_is_a_scalar_of_at_least_float32(self) -> None:
        for dtype in (torch.float16, torch.bfloat16, torch.float32):
            value = self.loss(torch.float32)(**self.fed(self.inputs(), dtype))
            assert value.shape == ()
            assert value.dtype == torch.float32
        assert self.loss()(**self.fed(self.inputs())).dtype == torch.float64

    def test_it_is_zero_when_equal_and_positive_otherwise(self) -> None:
        inputs = self.inputs()
        assert self.loss()(**inputs).item() > 1e-6
        if self.zero_when_equal:
            for student, teacher in zip(self.students, self.teachers, strict=True):
                inputs[student] = inputs[teacher].clone()
            assert self.loss()(**inputs).item() == pytest.approx(0, abs=1e-12)

    def test_its_gradient_is_that_of_its_value(self) -> None:
        loss, inputs = self.loss(), self.inputs(self.gradcheck_seed)
        fixed = {name: value for name, value in inputs.items() if name not in self.students}

        def value(*students: Tensor) -> Tensor:
            return loss(**fixed, **dict(zip(self.students, students, strict=True)))

        varied = tuple(inputs[name].clone().requires_grad_() for name in self.students)
        assert torch.autograd.gradcheck(value, varied, eps=1e-6, atol=1e-7, rtol=1e-4)

    def test_no_gradient_reaches_the_teacher(self) -> None:
        loss, inputs = self.loss(), self.fed(self.inputs())
        loss(**inputs).backward()
        for name in self.students:
            assert inputs[name].grad is not None
            assert inputs[name].grad.abs().sum() > 0
        for name in self.teachers:
            assert inputs[name].grad is None

    def test_its_trainable_parts_get_gradients(self) -> None:
        loss = self.loss()
        loss(**self.fed(self.inputs())).backward()
        for name, parameter in loss.named_parameters():
            assert parameter.grad is not None, name
            assert torch.isfinite(parameter.grad).all(), name
            assert parameter.grad.abs().sum() > 0, name

    def test_every_tensor_it_keeps_is_saved_and_moves_with_it(self) -> None:
        """That is, it is a parameter or a buffer, not an attribute beside them."""
        loss = self.loss()
        loss(**self.fed(self.inputs()))
        for module in loss.modules():
            assert not module._non_persistent_buffers_set
            for name, value in vars(module).items():
                assert name in ("_parameters", "_buffers") or not _holds_tensor(value), name

    @pytest.mark.parametrize("autocast", [False, True])
    def test_it_computes_in_float32_from_bfloat16(self, autocast: bool) -> None:
        rounded = self.fed(self.inputs(), torch.bfloat16)
        wide = {n: v.float() if v.is_floating_point() else v for n, v in rounded.items()}
        expected = self.loss(torch.float32)(**wide).item()
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            found = self.loss(torch.float32)(**rounded).item()
        assert found == pytest.approx(expected, rel=1e-6)

    def test_an_accelerator_need_not_wait_for_it(self) -> None:
        """Tensors without values on a pretended device: nothing is read back, none is elsewhere."""
        inputs = self.fed(self.inputs(), torch.float32)
        with FakeTensorMode(allow_non_fake_inputs=True):
            with torch.device("cuda"):
                loss = self.make()
                pretended = {n: torch.empty(v.shape, dtype=v.dtype) for n, v in inputs.items()}
            value = loss(**pretended)
        assert value.device.type == "cuda"
        assert value.shape == ()

    @FAST
    @given(drawn=batches(largest=9))
    def test_any_batch_is_finite_or_refused(self, drawn: dict[str, object]) -> None:
        self._is_finite_or_refused(**drawn)

    @pytest.mark.slow
    @FULL
    @given(drawn=batches(largest=64))
    def test_any_of_500_batches_is_finite_or_refused(self, drawn: dict[str, object]) -> None:
        self._is_finite_or_refused(**drawn)

    def test_the_smallest_batch_is_finite_or_refused(self) -> None:
        """One image; of maps, one pixel, which a batch norm in training cannot take."""
        inputs = {name: value[:1] for name, value in self.inputs().items()}
        if len(self.shape) == 4:
            for name in (*self.students, *self.teachers):
                inputs[name] = inputs[name][:, :, :1, :1]
        try:
            self._finite_gradients(inputs, torch.float32)
        except ValueError as error:
            assert "more than 1 value per channel" in str(error)  # noqa: PT017
            assert any(isinstance(part, nn.BatchNorm2d) for part in self.loss().modules())

    def test_it_compiles_to_the_same_value(self) -> None:
        inputs = self.inputs()
        expected = self.loss()(**inputs)
        compiled = torch.compile(self.loss(), backend="eager")
        torch.testing.assert_close(compiled(**inputs), expected)

    def test_an_empty_batch_is_refused(self) -> None:
        with pytest.raises(ValueError, match="at least one"):
            self.loss()(**self.inputs(shape=(0, *self.shape[1:])))

    def test_unequal_batches_are_refused_with_both_shapes(self) -> None:
        inputs = self.inputs()
        inputs[self.teachers[0]] = inputs[self.teachers[0]][:-1]
        with pytest.raises(ValueError, match=rf"\({self.shape[0]}, .*\({self.shape[0] - 1}, "):
            self.loss()(**inputs)

    def test_bad_arguments_are_refused_by_name(self) -> None:
        for name, (make, message) in self.refusals.items():
            with pytest.raises(ValueError, match=message):
                pytest.fail(f"{name} was accepted: {make()}")

    def _is_finite_or_refused(
        self,
        batch: int,
        kinds: tuple[str, str],
        exponents: tuple[int, int],
        equal: bool,
        dtype: torch.dtype,
        seed: int,
    ) -> None:
        inputs = self.inputs(seed, (batch, *self.shape[1:]))
        if batch == 0:
            with pytest.raises(ValueError, match="need"):
                self.loss()(**inputs)
            return
        for names, kind, exponent in zip(
            (self.students, self.teachers), kinds, exponents, strict=True
        ):
            for name in names:
                inputs[name] = _rounded(_degenerate(kind, inputs[name]) * 10.0**exponent, dtype)
        for student, teacher in zip(self.students, self.teachers, strict=True):
            if equal and inputs[student].shape == inputs[teacher].shape:
                inputs[student] = inputs[teacher]
        expected = self._finite_gradients(inputs, torch.float32)
        if dtype != torch.float32:
            fed = self.fed(inputs, dtype)
            self.loss(torch.float32)(**fed).backward()
            for name, gradient in expected.items():
                # One that is too large for float16 is infinite, which gradient scalers look for.
                torch.testing.assert_close(fed[name].grad, gradient.to(dtype))

    def _finite_gradients(self, inputs: Inputs, dtype: torch.dtype) -> Inputs:
        fed = self.fed(inputs, dtype)
        value = self.loss(dtype)(**fed)
        value.backward()
        assert torch.isfinite(value)
        gradients = {name: fed[name].grad for name in self.students}
        for name, gradient in gradients.items():
            assert torch.isfinite(gradient).all(), name
        return gradients


def _degenerate(kind: str, value: Tensor) -> Tensor:
    scale = torch.ones(len(value), *[1] * (value.ndim - 1), dtype=value.dtype)
    if kind == "equal rows":
        return value[:1].expand_as(value)
    if kind == "zeros":
        return 0 * value
    if kind == "constant":
        return torch.full_like(value, 0.7)
    if kind == "cluster":
        return value[:1] + 1e-4 * value
    if kind == "a zero row":
        scale[0] = 0
    if kind == "an outlier":
        scale[1:] = 1e-4
    return scale * value


def _rounded(value: Tensor, dtype: torch.dtype) -> Tensor:
    largest = torch.finfo(dtype).max
    return value.clamp(-largest, largest).to(dtype)


def _holds_tensor(value: object) -> bool:
    if isinstance(value, dict):
        value = tuple(value.values())
    if isinstance(value, list | tuple):
        return any(_holds_tensor(item) for item in value)
    return isinstance(value, Tensor)


def softmax(row: np.ndarray) -> np.ndarray:
    """Of one vector."""
    powers = np.exp(row - row.max())
    return powers / powers.sum()
