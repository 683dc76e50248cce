from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close
from torch_geometric.nn import ComplEx, DistMult, TransE

from gsam.kg.losses import n3
from gsam.kg.models import MuRE
from gsam.kg.regularizers import factors

HEAD, RELATION, TAIL = torch.tensor([0, 3, 3]), torch.tensor([1, 0, 1]), torch.tensor([2, 3, 0])


def test_complex_has_the_moduli_of_complex_numbers() -> None:
    torch.manual_seed(0)
    model = ComplEx(5, 2, 4).double()
    entities = torch.complex(model.node_emb.weight, model.node_emb_im.weight).detach()
    relations = torch.complex(model.rel_emb.weight, model.rel_emb_im.weight).detach()
    expected = (entities[HEAD].abs(), relations[RELATION].abs(), entities[TAIL].abs())
    assert_close(factors(model, HEAD, RELATION, TAIL), expected, rtol=1e-12, atol=0)


def test_gradient_is_finite_at_zero_and_right_elsewhere() -> None:
    model = ComplEx(5, 2, 4).double()
    with torch.no_grad():
        model.node_emb.weight[0], model.node_emb_im.weight[0] = 0.0, 0.0
    n3(factors(model, HEAD, RELATION, TAIL)).sum().backward()
    assert torch.equal(model.node_emb.weight.grad[0], torch.zeros(4, dtype=torch.float64))
    real, imaginary = model.node_emb.weight.detach()[2], model.node_emb_im.weight.detach()[2]
    expected = 3 * real * (real.square() + imaginary.square()).sqrt()
    assert_close(model.node_emb.weight.grad[2], expected, rtol=1e-12, atol=0)


def test_distmult_and_our_own() -> None:
    plain = DistMult(5, 2, 4)
    expected = (plain.node_emb(HEAD).abs(), plain.rel_emb(RELATION).abs(), plain.node_emb(TAIL).abs())
    assert_close(factors(plain, HEAD, RELATION, TAIL), expected)
    ours = MuRE(5, 2, 4)
    assert_close(factors(ours, HEAD, RELATION, TAIL), ours.regularization(HEAD, RELATION, TAIL))


def test_others_are_refused() -> None:
    with pytest.raises(ValueError, match=r"embeddings N3 applies to .* found TransE; set n3 to 0"):
        factors(TransE(5, 2, 4), HEAD, RELATION, TAIL)
