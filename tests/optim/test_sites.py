from __future__ import annotations

import pytest
import torch
from torch import nn

from gsam.optim.sites import find_site, write_rows

pytestmark = pytest.mark.filterwarnings("ignore:Sparse invariant checks")  # torch's, at every sparse tensor


def test_only_parameters_with_a_gradient() -> None:
    a, b = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(3))
    b.grad = torch.full((3,), 2.0)
    group = {"params": [a, b], "rho": 0.1}
    site = find_site(group)
    assert site.group is group
    assert len(site.params) == len(site.points) == len(site.grads) == 1
    assert site.points[0] is b  # the parameter itself moves
    assert site.grads[0] is b.grad
    assert site.rows == [None]


def test_resting_parameters_stay_out() -> None:
    a, b = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2))
    a.grad, b.grad = torch.ones(2), torch.ones(2)
    site = find_site({"params": [a, b]}, {a})
    assert len(site.params) == 1
    assert site.params[0] is b


def test_rows_of_a_sparse_gradient() -> None:
    """Row 3 is named twice: its gradients add up. Only touched rows are copied, moved and written back."""
    p = nn.Parameter(torch.arange(10.0).view(5, 2))
    p.grad = torch.sparse_coo_tensor([[3, 1, 3]], [[1.0, 1.0], [5.0, 5.0], [2.0, 2.0]], (5, 2))
    site = find_site({"params": [p]})
    assert site.rows[0].tolist() == [1, 3]
    assert site.grads[0].tolist() == [[5.0, 5.0], [3.0, 3.0]]
    assert site.points[0].tolist() == [[2.0, 3.0], [6.0, 7.0]]
    with torch.no_grad():
        site.points[0].fill_(-1.0)
        assert p[1].tolist() == [2.0, 3.0]  # a copy
        write_rows(site)
    assert p.tolist() == [[0.0, 1.0], [-1.0, -1.0], [4.0, 5.0], [-1.0, -1.0], [8.0, 9.0]]


def test_entrywise_sparse_gradient_is_refused() -> None:
    p = nn.Parameter(torch.zeros(5, 2))
    p.grad = torch.sparse_coo_tensor([[3, 1], [0, 1]], [1.0, 5.0], (5, 2))
    with pytest.raises(ValueError, match="found sparse_dim 2; make it dense"):
        find_site({"params": [p]})


def test_empty_sparse_gradient() -> None:
    p = nn.Parameter(torch.ones(5, 2))
    p.grad = torch.sparse_coo_tensor(torch.zeros(1, 0, dtype=torch.long), torch.zeros(0, 2), (5, 2))
    site = find_site({"params": [p]})
    with torch.no_grad():
        write_rows(site)
    assert torch.equal(p, torch.ones(5, 2))
