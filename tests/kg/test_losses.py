from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from gsam.kg.losses import LOSSES, VOID, LossOptions, bce, n3, self_adversarial, softmax, void

B, N = 5, 12
GENERATOR = torch.Generator().manual_seed(3)
POSITIVE = torch.randn(B, generator=GENERATOR, dtype=torch.float64)
SCORES = torch.randn(B, N, generator=GENERATOR, dtype=torch.float64)
COUNTS = torch.rand(B, N, generator=GENERATOR) < 0.7
COUNTS[2] = False  # a query that every entity answers
NEGATIVE = torch.where(COUNTS, SCORES, VOID)


def softplus(x: float) -> float:
    return math.log1p(math.exp(x))


def real(row: int) -> list[float]:
    return [float(SCORES[row, j]) for j in range(N) if COUNTS[row, j]]


def naive_bce(row: int) -> float:
    return softplus(-float(POSITIVE[row])) + 7.0 * sum(map(softplus, real(row))) / N


def naive_self_adversarial(row: int) -> float:
    total = sum(math.exp(0.6 * s) for s in real(row))
    weighted = [math.exp(0.6 * s) / total * softplus(s) for s in real(row)]
    return softplus(-float(POSITIVE[row])) + 7.0 * sum(weighted)


def naive_softmax(row: int) -> float:
    """Cross entropy against the smoothed distribution, each negative standing for three entities."""
    scores = [float(POSITIVE[row])] + 3 * real(row)
    total = sum(math.exp(s) for s in scores)
    targets = [0.9 + 0.1 / len(scores)] + (len(scores) - 1) * [0.1 / len(scores)]
    return -sum(share * (s - math.log(total)) for share, s in zip(targets, scores, strict=True))


NAIVE: dict[str, tuple[Any, Any]] = {
    "bce": (naive_bce, lambda p, n: bce(p, n, weight=7.0, count=N)),
    "self-adversarial": (naive_self_adversarial, lambda p, n: self_adversarial(p, n, weight=7.0, temperature=0.6)),
    "softmax": (naive_softmax, lambda p, n: softmax(p, n, log_weight=math.log(3.0), smoothing=0.1)),
}


@pytest.mark.parametrize("name", LOSSES)
def test_equals_a_loop_in_float64(name: str) -> None:
    naive, loss = NAIVE[name]
    expected = torch.tensor([naive(row) for row in range(B)], dtype=torch.float64)
    assert_close(loss(POSITIVE, NEGATIVE), expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_void_scores_have_no_gradient_and_none_is_nan(name: str, dtype: torch.dtype) -> None:
    positive, scores = (t.to(dtype).clone().requires_grad_() for t in (POSITIVE, SCORES))
    losses = NAIVE[name][1](positive, void(scores, (~COUNTS).flatten().nonzero().squeeze(1)))
    losses.sum().backward()
    assert losses.isfinite().all()
    assert scores.grad is not None
    assert positive.grad is not None
    assert positive.grad.isfinite().all()
    assert torch.equal(scores.grad != 0, COUNTS)


def test_softmax_against_all_is_pytorchs_cross_entropy() -> None:
    """The true tail is one of the candidates, void among the negatives."""
    tail = torch.tensor([3, 0, 11, 5, 5])
    positive = SCORES[torch.arange(B), tail]
    negative = void(SCORES, torch.arange(B) * N + tail)
    for smoothing in (0.0, 0.2):
        expected = torch.nn.functional.cross_entropy(SCORES, tail, reduction="none", label_smoothing=smoothing)
        assert_close(softmax(positive, negative, smoothing=smoothing), expected, rtol=1e-12, atol=1e-14)


def test_self_adversarial_weights_get_no_gradient() -> None:
    scores = SCORES.clone().requires_grad_()
    self_adversarial(POSITIVE, scores, weight=1.0, temperature=2.0).sum().backward()
    expected = (2.0 * SCORES).softmax(1) * SCORES.sigmoid()
    assert_close(scores.grad, expected, rtol=1e-12, atol=1e-14)


def test_temperature_zero_is_the_mean_over_real_negatives() -> None:
    found = self_adversarial(POSITIVE, NEGATIVE, weight=1.0, temperature=0.0)
    for row in (0, 1, 3, 4):
        mean = sum(map(softplus, real(row))) / len(real(row))
        assert float(found[row]) == pytest.approx(softplus(-float(POSITIVE[row])) + mean, rel=1e-12)


def test_large_scores_stay_finite_in_float32() -> None:
    positive, negative = torch.tensor([-300.0, 300.0]), torch.tensor([[400.0, -400.0], [-400.0, VOID]])
    for name in LOSSES:
        losses = LossOptions(name).function(2)(positive, negative, torch.tensor([3]), math.log(20_000))
        assert losses.isfinite().all()
        assert float(losses[0]) > 300
        assert float(losses[1]) == 0


def test_n3_by_hand() -> None:
    head, relation, tail = torch.tensor([[1.0, -2.0]]), torch.tensor([[0.5, 0.0]]), torch.tensor([[3.0, 1.0]])
    assert n3((head, relation, tail)).tolist() == [1 + 8 + 0.125 + 27 + 1]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (LossOptions(), lambda p, n: bce(p, n, weight=50.0, count=N)),
        (LossOptions(negative_weight=3.0, margin=2.0), lambda p, n: bce(p + 2, n + 2, weight=3.0, count=N)),
        (LossOptions("softmax"), lambda p, n: softmax(p, n, log_weight=0.7)),
        (
            LossOptions("softmax", smoothing=0.1, scale=0.01),
            lambda p, n: softmax(0.01 * p, torch.where(COUNTS, 0.01 * n, VOID), log_weight=0.7, smoothing=0.1),
        ),
        (
            LossOptions("self-adversarial", temperature=0.5, margin=1.0),
            lambda p, n: self_adversarial(p + 1, n + 1, weight=1.0, temperature=0.5),
        ),
    ],
)
def test_options_reach_the_formula(options: LossOptions, expected: Any) -> None:
    positions = (~COUNTS).flatten().nonzero().squeeze(1)
    found: Tensor = options.function(N)(POSITIVE, SCORES, positions, 0.7)
    assert_close(found, expected(POSITIVE, NEGATIVE), rtol=1e-13, atol=0)


def test_settings_in_force() -> None:
    assert LossOptions("softmax", smoothing=0.1).in_force == {"n3": 0.0, "smoothing": 0.1, "scale": 1.0}
    assert LossOptions("self-adversarial", n3=0.2).in_force == {
        "n3": 0.2,
        "negative_weight": 1.0,
        "margin": 0.0,
        "temperature": 1.0,
    }


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"name": "hinge"}, "a loss among bce, softmax, self-adversarial, found 'hinge'"),
        ({"smoothing": 0.1}, "smoothing with the loss softmax only, found bce"),
        ({"name": "softmax", "negative_weight": 3.0}, "negative_weight with the loss bce or self-adversarial only"),
        ({"name": "softmax", "smoothing": 1.0}, r"smoothing in \[0, 1\), found 1.0"),
        ({"name": "softmax", "scale": 0.0}, "scale > 0, found 0"),
        ({"temperature": 1.0}, "temperature with the loss self-adversarial only"),
        ({"negative_weight": -1.0}, "negative_weight >= 0, found -1.0"),
        ({"margin": math.nan}, "margin >= 0, found nan"),
        ({"n3": -0.1}, "n3 >= 0, found -0.1"),
    ],
)
def test_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        LossOptions(**options)
