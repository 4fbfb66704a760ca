"""The questionnaire that every task loss answers: one with a target and no teacher."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from tests.losses.contract import FAST, FULL, Inputs

BATCHES = st.fixed_dictionaries(
    {
        "batch": st.integers(0, 5),
        "kind": st.sampled_from(["random", "equal rows", "zeros", "constant", "cluster"]),
        "exponent": st.integers(-8, 8),
        "dtype": st.sampled_from([torch.float32, torch.bfloat16, torch.float16]),
        "seed": st.integers(0, 99),
    }
)


class TaskLossContract:
    """Subclass it as ``Test<Loss>`` and say how the loss is made, fed and defined."""

    shape: tuple[int, ...]  # of what is predicted, the batch first
    predicted = "input"
    refusals: dict[str, tuple[Callable[[], object], str]]

    def make(self) -> nn.Module:
        raise NotImplementedError

    def oracle(self, loss: nn.Module, predicted: np.ndarray, target: np.ndarray) -> float:
        """The definition in numpy float64, by loops."""
        raise NotImplementedError

    def target(self, predicted: Tensor, generator: torch.Generator) -> Tensor:
        raise NotImplementedError

    def inputs(self, seed: int = 0, batch: int | None = None) -> Inputs:
        """Random float64 predictions and their target."""
        generator = torch.Generator().manual_seed(seed)
        shape = (self.shape[0] if batch is None else batch, *self.shape[1:])
        predicted = self.prediction(shape, generator)
        return {self.predicted: predicted, "target": self.target(predicted, generator)}

    def prediction(self, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    def loss(self, dtype: torch.dtype = torch.float64) -> nn.Module:
        torch.manual_seed(1)
        return self.make().to(dtype)

    def fed(self, inputs: Inputs, dtype: torch.dtype = torch.float64) -> Inputs:
        """Inputs in a type, each with a gradient if it can have one."""
        return {
            name: value.detach().to(dtype, copy=True).requires_grad_()
            if value.is_floating_point()
            else value
            for name, value in inputs.items()
        }

    def test_it_agrees_with_its_definition_on_100_inputs(self) -> None:
        for seed in range(100):
            inputs, loss = self.inputs(seed), self.loss()
            expected = self.oracle(loss, *(value.numpy() for value in inputs.values()))
            assert loss(**inputs).item() == pytest.approx(expected, rel=1e-6, abs=1e-12)

    def test_it_is_a_scalar_of_at_least_float32(self) -> None:
        for dtype in (torch.float16, torch.bfloat16, torch.float32):
            value = self.loss(torch.float32)(**self.fed(self.inputs(), dtype))
            assert value.shape == ()
            assert value.dtype == torch.float32
        assert self.loss()(**self.fed(self.inputs())).dtype == torch.float64

    def test_its_gradient_is_that_of_its_value(self) -> None:
        loss, inputs = self.loss(), self.inputs()
        predicted = inputs.pop(self.predicted).requires_grad_()
        assert torch.autograd.gradcheck(
            lambda varied: loss(**inputs, **{self.predicted: varied}),
            predicted,
            eps=1e-6,
            atol=1e-7,
            rtol=1e-4,
        )

    def test_a_gradient_reaches_what_is_predicted_alone(self) -> None:
        fed = self.fed(self.inputs())
        self.loss()(**fed).backward()
        assert fed[self.predicted].grad.abs().sum() > 0
        assert fed["target"].grad is None

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
    @given(drawn=BATCHES)
    def test_any_batch_is_finite(self, drawn: dict[str, object]) -> None:
        self._is_finite(**drawn)

    @pytest.mark.slow
    @FULL
    @given(drawn=BATCHES)
    def test_any_of_500_batches_is_finite(self, drawn: dict[str, object]) -> None:
        self._is_finite(**drawn)

    def test_an_empty_batch_gives_a_zero_with_a_gradient(self) -> None:
        fed = self.fed(self.inputs(batch=0))
        value = self.loss()(**fed)
        value.backward()
        assert value.item() == 0
        assert fed[self.predicted].grad.shape == (0, *self.shape[1:])

    def test_unequal_batches_are_refused_with_the_shapes(self) -> None:
        inputs = self.inputs()
        inputs["target"] = inputs["target"][:-1]
        with pytest.raises(ValueError, match=rf"\({self.shape[0]},.*\({self.shape[0] - 1},"):
            self.loss()(**inputs)

    def test_bad_arguments_are_refused_by_name(self) -> None:
        for name, (make, message) in self.refusals.items():
            with pytest.raises(ValueError, match=message):
                pytest.fail(f"{name} was accepted: {make()}")

    def _is_finite(
        self, batch: int, kind: str, exponent: int, dtype: torch.dtype, seed: int
    ) -> None:
        largest = torch.finfo(dtype).max
        inputs = self.inputs(seed, batch)
        for name, value in inputs.items():
            if value.is_floating_point():
                scaled = _degenerate(kind, value) * 10.0**exponent
                inputs[name] = scaled.clamp(-largest, largest).to(dtype)
        value, gradient = self._of(self.fed(inputs, torch.float32))
        assert torch.isfinite(value)
        assert torch.isfinite(gradient).all()
        # One that is too large for float16 is infinite, which gradient scalers look for.
        narrow = self._of(self.fed(inputs, dtype))[1]
        torch.testing.assert_close(narrow, gradient.to(dtype))

    def _of(self, fed: Inputs) -> tuple[Tensor, Tensor]:
        """Value and gradient."""
        value = self.loss(torch.float32)(**fed)
        value.backward()
        return value, fed[self.predicted].grad


class LabelLossContract(TaskLossContract):
    """For a loss of logits (b, k, ...) and class numbers (b, ...) that may be ignored."""

    def target(self, predicted: Tensor, generator: torch.Generator) -> Tensor:
        """One in five is ignored; the first, if there is one, never."""
        shape = (len(predicted), *predicted.shape[2:])
        numbers = torch.randint(predicted.shape[1], shape, generator=generator)
        ignored = torch.rand(shape, generator=generator) < 0.2
        ignored.view(-1)[:1] = False
        return numbers.masked_fill(ignored, -100)

    def test_what_is_ignored_changes_nothing(self) -> None:
        inputs = self.inputs()
        inputs["target"].view(-1)[1] = -100
        ignored = (inputs["target"] == -100).unsqueeze(1).expand(inputs["input"].shape)
        expected = self.loss()(**inputs)
        for logit in (7.0, torch.inf, torch.nan):
            other = inputs | {"input": inputs["input"].masked_fill(ignored, logit).requires_grad_()}
            value = self.loss()(**other)
            value.backward()
            torch.testing.assert_close(value, expected)
            assert (other["input"].grad[ignored] == 0).all()
            assert other["input"].grad.isfinite().all()

    def test_an_ignored_image_more_changes_nothing(self) -> None:
        inputs = self.inputs()
        expected = self.loss()(**inputs)
        more = {name: torch.cat([value, value[:1]]) for name, value in inputs.items()}
        more["target"][-1] = -100
        torch.testing.assert_close(self.loss()(**more), expected)

    def test_all_ignored_gives_a_zero_with_a_gradient(self) -> None:
        fed = self.fed(self.inputs())
        value = self.loss()(fed["input"], torch.full_like(fed["target"], -100))
        value.backward()
        assert value.item() == 0
        assert (fed["input"].grad == 0).all()

    def test_a_label_of_any_integer_type_is_taken(self) -> None:
        inputs = self.inputs()
        inputs["target"] = inputs["target"].clamp_min(0)
        expected = self.loss()(**inputs)
        for dtype in (torch.uint8, torch.int16, torch.int32):
            narrow = inputs | {"target": inputs["target"].to(dtype)}
            torch.testing.assert_close(self.loss()(**narrow), expected)


def _degenerate(kind: str, value: Tensor) -> Tensor:
    if kind == "equal rows":
        return value[:1].expand_as(value)
    if kind == "zeros":
        return 0 * value
    if kind == "constant":
        return torch.full_like(value, 0.7)
    if kind == "cluster":
        return value[:1] + 1e-4 * value
    return value


def hard(target: torch.Tensor, n_classes: int) -> torch.Tensor:
    """Logits whose softmax is 1 for the class number and 0 for the others."""
    return 1e4 * nn.functional.one_hot(target, n_classes).movedim(-1, 1).double()
