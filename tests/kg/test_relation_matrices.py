from __future__ import annotations

import pytest
import torch

from gsam.kg._relation_matrices import apply_relation_matrices

DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(("batch", "relations"), [(1, 1), (16, 1), (17, 1), (5, 40), (33, 2), (300, 7), (64, 64)])
def test_rows_and_gradients_are_those_of_a_loop(batch: int, relations: int, device: str) -> None:
    torch.manual_seed(batch)
    matrices = torch.randn(relations, 4, 3, dtype=torch.float64, device=device, requires_grad=True)
    x = torch.randn(batch, 3, dtype=torch.float64, device=device, requires_grad=True)
    rel_type = torch.randint(relations, (batch,), device=device)
    out = apply_relation_matrices(matrices, rel_type, x)
    naive = torch.stack([matrices[r] @ row for r, row in zip(rel_type.tolist(), x, strict=True)])
    torch.testing.assert_close(out, naive, rtol=1e-12, atol=1e-12)
    weights = torch.randn_like(out)
    for found, expected in zip(
        torch.autograd.grad(out, (matrices, x), weights),
        torch.autograd.grad(naive, (matrices, x), weights),
        strict=True,
    ):
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


def test_one_relation_takes_all() -> None:
    """Skewed batches: relations without rows before, between and after those that have some."""
    matrices, x = torch.randn(9, 2, 2), torch.randn(50, 2)
    for relation in (0, 4, 8):
        out = apply_relation_matrices(matrices, torch.full((50,), relation), x)
        torch.testing.assert_close(out, x @ matrices[relation].T)
    two = torch.tensor([8, 0]).repeat(25)
    torch.testing.assert_close(apply_relation_matrices(matrices, two, x)[::2], x[::2] @ matrices[8].T)


def test_no_rows() -> None:
    found = apply_relation_matrices(torch.randn(3, 4, 2), torch.zeros(0, dtype=torch.long), torch.zeros(0, 2))
    assert found.shape == (0, 4)


def test_no_copy_of_a_matrix_for_every_row() -> None:
    """What is gathered is bounded by blocks and relations: the largest tensor saved for backward says so."""
    batch, relations, width = 4000, 3, 20
    matrices = torch.randn(relations, width, width, requires_grad=True)
    x = torch.randn(batch, width, requires_grad=True)
    largest = 0

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        nonlocal largest
        largest = max(largest, tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        apply_relation_matrices(matrices, torch.randint(relations, (batch,)), x)
    assert 0 < largest <= (batch / 16 + relations) * max(width * width, 16 * width)
    assert largest < batch * width * width / 10
