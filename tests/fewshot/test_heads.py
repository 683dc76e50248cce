from __future__ import annotations

import pytest
import torch

from gsam.fewshot.heads import centrality_weights, cosine_logits, prototypes, squared_distance_logits


def test_prototypes_without_weights_are_means() -> None:
    support = torch.randn(3, 4, 5, dtype=torch.float64)
    expected = torch.stack([sum(support[c]) / 4 for c in range(3)])
    torch.testing.assert_close(prototypes(support), expected, rtol=1e-14, atol=1e-14)


def test_weighted_prototypes_by_loops() -> None:
    support, weights = torch.randn(3, 4, 5, dtype=torch.float64), torch.rand(3, 4, dtype=torch.float64)
    expected = torch.stack([sum(weights[c, k] * support[c, k] for k in range(4)) for c in range(3)])
    torch.testing.assert_close(prototypes(support, weights), expected, rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize("k_shot", [1, 3, 5])
def test_identical_supports_are_their_own_prototype(k_shot: int) -> None:
    """Whatever the degrees and scores: averaging the weighted shots once more would divide this by ``k_shot``."""
    point = torch.randn(4, 1, 6, dtype=torch.float64)
    scores, log_degree = torch.randn(4, k_shot, dtype=torch.float64) * 3, torch.rand(4, k_shot).double() * 5
    weights = centrality_weights(scores, log_degree)
    found = prototypes(point.expand(-1, k_shot, -1), weights)
    torch.testing.assert_close(found, point.squeeze(1), rtol=1e-14, atol=1e-14)


def test_centrality_weights_by_hand() -> None:
    found = centrality_weights(torch.tensor([[2.0, -1.0]]).double(), torch.tensor([[0.0, 3.0]]).double().log1p())
    first, second = 0.5, 1 / (1 + torch.exp(torch.tensor(4.0).double().log()))  # sigmoid(-log 4) = 1/5
    expected = torch.stack([torch.exp(torch.tensor(first).double()), torch.exp(second)])
    torch.testing.assert_close(found[0], expected / expected.sum(), rtol=1e-14, atol=0)
    assert second == pytest.approx(0.2)


def test_squared_distances_up_to_the_query() -> None:
    queries, centres = torch.randn(7, 5, dtype=torch.float64), torch.randn(3, 5, dtype=torch.float64)
    expected = -(torch.cdist(queries, centres, compute_mode="donot_use_mm_for_euclid_dist") ** 2)
    found = squared_distance_logits(queries, centres)
    torch.testing.assert_close(found - queries.square().sum(1, keepdim=True), expected, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(found.log_softmax(1), expected.log_softmax(1), rtol=1e-12, atol=1e-12)


def test_cosines() -> None:
    queries, centres = torch.randn(7, 5, dtype=torch.float64), torch.randn(3, 5, dtype=torch.float64)
    expected = torch.nn.functional.cosine_similarity(queries[:, None], centres[None], dim=2)
    torch.testing.assert_close(cosine_logits(queries, centres, 3.0), 3 * expected, rtol=1e-12, atol=1e-12)
    assert torch.isfinite(cosine_logits(torch.zeros(1, 5), torch.zeros(2, 5))).all()
