"""The questionnaire that every distillation loss answers."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

Inputs = dict[str, Tensor]


class LossContract:
    """Subclass it as ``Test<Loss>`` and say how the loss is made, fed and defined.

    A subclass whose loss is not zero for equal inputs, or needs other inputs than ``student`` and
    ``teacher``, says so by overriding the attributes and ``inputs``.
    """

    shape: tuple[int, ...]
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
        names = (*self.students, *self.teachers)
        return {
            name: torch.randn(shape, generator=generator, dtype=torch.float64) for name in names
        }

    def loss(self, dtype: torch.dtype = torch.float64) -> nn.Module:
        torch.manual_seed(1)
        return self.make().to(dtype)

    def fed(self, inputs: Inputs, dtype: torch.dtype = torch.float64) -> Inputs:
        """Inputs in a type, with gradients for the student's and the teacher's."""
        own = {*self.students, *self.teachers}
        return {
            name: value.to(dtype, copy=True).requires_grad_() if name in own else value
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

    @pytest.mark.parametrize("autocast", [False, True])
    def test_it_computes_in_float32_from_bfloat16(self, autocast: bool) -> None:
        rounded = self.fed(self.inputs(), torch.bfloat16)
        wide = {n: v.float() if v.is_floating_point() else v for n, v in rounded.items()}
        expected = self.loss(torch.float32)(**wide).item()
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            found = self.loss(torch.float32)(**rounded).item()
        assert found == pytest.approx(expected, rel=1e-6)

    def test_it_compiles_to_the_same_value(self) -> None:
        inputs = self.inputs()
        expected = self.loss()(**inputs)
        compiled = torch.compile(self.loss(), backend="eager")
        torch.testing.assert_close(compiled(**inputs), expected)

    @settings(
        max_examples=60,
        deadline=None,
        suppress_health_check=[HealthCheck.differing_executors],
        derandomize=True,
    )
    @given(
        batch=st.integers(0, 9),
        kind=st.sampled_from(["random", "duplicates", "zeros", "constant", "cluster"]),
        exponent=st.integers(-8, 8),
        dtype=st.sampled_from([torch.float32, torch.bfloat16, torch.float16]),
        seed=st.integers(0, 99),
    )
    def test_any_batch_is_finite_or_refused(
        self, batch: int, kind: str, exponent: int, dtype: torch.dtype, seed: int
    ) -> None:
        limit = torch.finfo(dtype).max
        inputs = self.inputs(seed, (batch, *self.shape[1:]))
        for name in (*self.students, *self.teachers):
            scaled = _degenerate(kind, inputs[name]) * 10.0**exponent
            inputs[name] = scaled.clamp(-limit, limit)
        loss, fed = self.loss(torch.float32), self.fed(inputs, dtype)
        if batch == 0:
            with pytest.raises(ValueError, match="need"):
                loss(**fed)
            return
        value = loss(**fed)
        value.backward()
        assert torch.isfinite(value)
        for name in self.students:
            assert torch.isfinite(fed[name].grad).all(), name

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


def _degenerate(kind: str, value: Tensor) -> Tensor:
    if kind == "duplicates":
        return value[:1].expand_as(value)
    if kind == "zeros":
        return torch.zeros_like(value)
    if kind == "constant":
        return torch.full_like(value, 0.7)
    if kind == "cluster":
        return value[:1] + 1e-4 * value
    return value
