"""What every knowledge-graph model must do: the laws, over the table of cases in ``kg_cases.py``.

A new entry of ``KG_MODELS`` or a new public subclass of ``KGModel`` needs a case there and a naive second
implementation in ``naive_kg.py`` (a test checks that it has them). PyG's own models take part in the laws about
scores, through :func:`gsam.kg.scorers.scorer`.
"""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from geoopt import ManifoldParameter
from torch import Tensor

from gsam.kg.registry import KG_MODELS
from gsam.kg.scorers import scorer
from gsam.manifolds import manifold_groups
from gsam.optim import RiemannianAdam
from tests.contracts.kg_cases import (
    CASES,
    DEVICES,
    OURS,
    TOLERANCE,
    B,
    Case,
    D,
    LargestTensor,
    N,
    R,
    check_groups,
    check_inside,
    close,
    coincident,
    gradients,
    riemannian,
    triples,
)
from tests.contracts.naive_kg import naive_scores


class KGContract:
    """The laws. A test module makes its own subclass."""

    @pytest.mark.parametrize("device", DEVICES)
    @pytest.mark.parametrize("dtype", TOLERANCE)
    @pytest.mark.parametrize("case", CASES, ids=str)
    def test_all_ways_to_a_score_are_the_formula(self, case: Case, dtype: torch.dtype, device: str) -> None:
        model = case.build(dtype, device=device).eval()
        given = triples(device)
        head, relation, tail = given.unbind(1)
        expected = naive_scores(case.name, copy.deepcopy(model).cpu().double(), given.cpu()).to(device)
        close(model(head, relation, tail), expected, dtype, "forward")
        scores = scorer(model)
        query, every = scores.query(head, relation), scores.candidates(None)
        close(scores.pointwise(query, scores.candidates(tail)), expected, dtype, "pointwise")
        table = scores.pairwise(query, every)
        assert table.shape == (B, N)
        close(table.gather(1, tail[:, None])[:, 0], expected, dtype, "pairwise")
        own = torch.randint(N, (B, 4), device=device)
        close(scores.pairwise(query, scores.candidates(own[0])), table[:, own[0]].double(), dtype, "some candidates")
        close(scores.pointwise(query, scores.candidates(own)), table.gather(1, own).double(), dtype, "own candidates")

    @pytest.mark.parametrize("case", OURS, ids=str)
    def test_parts_are_rows(self, case: Case) -> None:
        """Blocks of parts score as blocks of the table: what an evaluation in blocks relies on."""
        model = case.build().eval()
        head, relation, _ = triples().unbind(1)
        query, every = model.query(head, relation), model.candidates()
        assert all(part.dim() == 2 and len(part) == B for part in query)
        assert all(part.dim() == 2 and len(part) == N for part in every)
        block = model.pairwise(tuple(part[5:9] for part in query), tuple(part[3:11] for part in every))
        close(block, model.pairwise(query, every)[5:9, 3:11], torch.float64)

    @pytest.mark.parametrize("case", CASES, ids=str)
    def test_no_pair_has_a_vector(self, case: Case) -> None:
        """Scoring all pairs makes matrices [B, n] and nothing larger, whatever d."""
        scores = scorer(case.build().eval())
        head, relation, _ = triples().unbind(1)
        query, every = scores.query(head, relation), scores.candidates(None)
        with LargestTensor() as seen:
            scores.pairwise(query, every)
        largest_input = max(part.numel() for part in (*query, *every))
        assert B * N <= seen.numel <= max(B * N, largest_input)
        assert largest_input <= (B + N) * (2 * D + 4)

    @pytest.mark.parametrize("case", OURS, ids=str)
    def test_no_rows(self, case: Case) -> None:
        model = case.build().eval()
        none = torch.zeros(0, dtype=torch.long)
        assert model(none, none, none).shape == (0,)
        assert model.pairwise(model.query(none, none), model.candidates()).shape == (0, N)
        model.constrain(none)

    @pytest.mark.parametrize("case", OURS, ids=str)
    def test_gradients_are_the_formulas(self, case: Case) -> None:
        model = case.build().eval()
        given = triples()[1:]  # the naive formulas have no gradient at coincident points
        given = given[given[:, 0] != given[:, 2]]
        head, relation, tail = given.unbind(1)
        expected = riemannian(model, gradients(model, naive_scores(case.name, model, given)))
        forward = riemannian(model, gradients(model, model(head, relation, tail)))
        table = model.pairwise(model.query(head, relation), model.candidates())
        pairwise = riemannian(model, gradients(model, table.gather(1, tail[:, None])[:, 0]))
        for name in expected:
            close(forward[name], expected[name], torch.float64, name)
            close(pairwise[name], expected[name], torch.float64, name)

    @pytest.mark.parametrize("case", OURS, ids=str)
    def test_gradients_at_coincident_points(self, case: Case) -> None:
        """Head equals tail, heads and tails at the origin: the score is smooth there, so differences are the oracle."""
        model = coincident(case)
        head = torch.tensor([0, 0, 0, 3, 5, 4])
        tail = torch.tensor([0, 1, 4, 3, 5, 0])
        relation = torch.tensor([0, 1, 2, 3, 4, 0])
        names, values = zip(
            *[(n, p.detach().clone().requires_grad_()) for n, p in model.named_parameters()], strict=True
        )

        def forward(*parameters: Tensor) -> Tensor:
            return torch.func.functional_call(model, dict(zip(names, parameters, strict=True)), (head, relation, tail))

        assert torch.autograd.gradcheck(forward, values, eps=1e-5, atol=1e-6, rtol=1e-6)
        table = model.pairwise(model.query(head, relation), model.candidates(tail))
        forward_gradients = gradients(model, model(head, relation, tail))
        for name, gradient in gradients(model, table.diagonal()).items():
            close(gradient, forward_gradients[name], torch.float64, name)

    @pytest.mark.parametrize("dtype", TOLERANCE)
    @pytest.mark.parametrize("case", OURS, ids=str)
    def test_nothing_is_infinite(self, case: Case, dtype: torch.dtype) -> None:
        """Parameters far beyond any use, and tables of nothing but zeros: finite scores and gradients."""
        for size in (0.0, 1e-20, 30.0, 1e4):
            model = case.build(dtype).eval()
            with torch.no_grad():
                for parameter in model.parameters():
                    parameter.copy_(torch.randn_like(parameter).sign() * size)
            model.constrain()
            head, relation, tail = triples().unbind(1)
            table = model.pairwise(model.query(head, relation), model.candidates())
            assert table.isfinite().all(), size
            for scores in (table, model(head, relation, tail)):
                for name, gradient in gradients(model, scores).items():
                    assert gradient.isfinite().all(), (size, name)

    @pytest.mark.parametrize("case", OURS, ids=str)
    def test_sparse_gradients(self, case: Case) -> None:
        dense, sparse = case.build().eval(), case.build(sparse=True).eval()
        head, relation, tail = triples()[:5].unbind(1)
        other = torch.tensor([2, 2, 11])
        found = []
        for model in (dense, sparse):
            query = model.query(head, relation)
            scores = [model.pointwise(query, model.candidates(tail)), model.pairwise(query, model.candidates(other))]
            found.append(gradients(model, torch.cat([part.flatten() for part in scores])))
        for name, gradient in found[0].items():
            close(found[1][name], gradient, torch.float64, name)
        touched = {
            "node_emb.weight": torch.cat([head, tail, other]).unique(),
            "head_bias.weight": head.unique(),
            "tail_bias.weight": torch.cat([tail, other]).unique(),
        }
        for name, parameter in sparse.named_parameters():
            assert parameter.grad is None or parameter.grad.is_sparse == (name in touched), name
            if name in touched:
                assert torch.equal(parameter.grad.coalesce().indices()[0], touched[name]), name

    @pytest.mark.parametrize("case", OURS, ids=str)
    def test_constrain(self, case: Case) -> None:
        model = case.build(torch.float32)
        points = {n: p for n, p in model.named_parameters() if isinstance(p, ManifoldParameter)}
        assert bool(points) == hasattr(model, "manifold")
        before = {n: p.detach().clone() for n, p in model.named_parameters()}
        model.constrain()
        for name, parameter in model.named_parameters():  # inside its limits nothing changes
            torch.testing.assert_close(parameter.detach(), before[name], rtol=1e-6, atol=1e-7)
        rows = torch.tensor([4, 9, 4])
        with torch.no_grad():
            for point in points.values():
                point.mul_(50)
        before = {n: p.detach().clone() for n, p in model.named_parameters()}
        pointers = {n: p.data_ptr() for n, p in model.named_parameters()}
        model.constrain(rows)
        untouched = torch.ones(N, dtype=torch.bool).index_fill(0, rows, False)
        weight = model.node_emb.weight.detach()
        assert torch.equal(weight[untouched], before["node_emb.weight"][untouched])
        if points:
            assert check_inside(model, weight[rows])
            assert not check_inside(model, weight[untouched])
        model.constrain()
        assert all(check_inside(model, point.detach()) for point in points.values())
        assert all(p.data_ptr() == pointers[n] for n, p in model.named_parameters())  # in place

    @pytest.mark.parametrize("case", CASES, ids=str)
    def test_pyg_contract(self, case: Case) -> None:
        """Batches of PyG's loader, its loss, and its evaluation, which must find the ranks of the naive scores."""
        model = case.build()
        head, relation, tail = triples().unbind(1)
        steps = 0
        for batch in model.loader(head, relation, tail, batch_size=8, shuffle=True):
            loss = model.loss(*batch)
            assert loss.dim() == 0
            assert loss.isfinite()
            loss.backward()
            steps += 1
        assert steps == 3
        model.eval()
        given = triples()[2:8]
        ranks = []
        for h, r, t in given.tolist():
            scores = naive_scores(case.name, model, torch.tensor([[h, r, other] for other in range(N)]))
            ranks.append(int((scores > scores[t]).sum()))
        mean_rank, mrr, hits = model.test(*given.unbind(1), batch_size=5, k=3, log=False)
        assert mean_rank == pytest.approx(sum(ranks) / len(ranks), rel=1e-6)
        assert mrr == pytest.approx(sum(1 / (rank + 1) for rank in ranks) / len(ranks), rel=1e-6)
        assert hits == pytest.approx(sum(rank < 3 for rank in ranks) / len(ranks), rel=1e-6)

    @pytest.mark.parametrize("case", OURS, ids=str)
    def test_loss_is_binary_cross_entropy(self, case: Case) -> None:
        model = case.build().eval()
        given = triples()
        torch.manual_seed(5)
        false = torch.stack(model.random_sample(*given.unbind(1)), 1)
        torch.manual_seed(5)
        found = model.loss(*given.unbind(1))
        positive, negative = (naive_scores(case.name, model, part) for part in (given, false))
        expected = ((1 + (-positive).exp()).log().sum() + (1 + negative.exp()).log().sum()) / (2 * B)
        close(found, expected, torch.float64)

    @pytest.mark.parametrize("assign", [False, True])
    @pytest.mark.parametrize("case", OURS, ids=str)
    def test_state(self, case: Case, assign: bool) -> None:
        """A saved state scores the same in a new model, which still knows where its points live."""
        model = case.build().eval()
        other = KG_MODELS[case.name](N, R, D, **case.options).double().eval()
        other.load_state_dict(copy.deepcopy(model.state_dict()), assign=assign)
        given = triples().unbind(1)
        assert torch.equal(other(*given), model(*given))
        check_groups(other)

    @pytest.mark.parametrize("how", ["deepcopy", "pickle"])
    @pytest.mark.parametrize("case", OURS, ids=str)
    def test_copies(self, case: Case, how: str) -> None:
        model = case.build().eval()
        given = triples().unbind(1)
        before = model(*given).detach()
        twin = copy.deepcopy(model) if how == "deepcopy" else pickle.loads(pickle.dumps(model))
        assert torch.equal(twin(*given), before)
        check_groups(twin)
        assert {type(p) for p in twin.parameters()} == {type(p) for p in model.parameters()}
        with torch.no_grad():
            for parameter in twin.parameters():
                parameter.add_(1)
        assert torch.equal(model(*given), before)

    @pytest.mark.parametrize("case", OURS, ids=str)
    def test_dtypes(self, case: Case) -> None:
        model = case.build(torch.float32).eval()
        given = triples().unbind(1)
        single = model(*given)
        assert single.dtype == torch.float32
        double = model.double()(*given)
        assert double.dtype == torch.float64
        close(single, double, torch.float32)
        check_groups(model)

    @pytest.mark.parametrize("case", OURS, ids=str)
    def test_a_seed_gives_a_model(self, case: Case) -> None:
        def state(seed: int) -> dict[str, Tensor]:
            torch.manual_seed(seed)
            return KG_MODELS[case.name](N, R, D, **case.options).state_dict()

        first, second, third = state(0), state(0), state(1)
        assert all(torch.equal(first[name], second[name]) for name in first)
        assert not torch.equal(first["node_emb.weight"], third["node_emb.weight"])
        torch.manual_seed(1)
        model = KG_MODELS[case.name](N, R, D, **case.options)
        torch.manual_seed(0)
        model.reset_parameters()
        again = model.state_dict()
        assert all(torch.equal(first[name], again[name]) for name in first)
        assert all(value.isfinite().all() for value in first.values())

    @pytest.mark.parametrize("sparse", [False, True])
    @pytest.mark.parametrize("case", OURS, ids=str)
    def test_training_in_float32(self, case: Case, sparse: bool) -> None:
        """A ring of entities, 200 steps at a high rate: it is learned, every number finite, every point in place."""
        torch.manual_seed(0)
        model = KG_MODELS[case.name](N, 2, D, sparse=sparse, **case.options)
        optimizer = RiemannianAdam(manifold_groups(model), lr=0.05)
        entity = torch.arange(N)
        head, tail = torch.cat([entity, (entity + 1) % N]), torch.cat([(entity + 1) % N, entity])
        relation = torch.tensor([0, 1]).repeat_interleave(N)
        losses = []
        for _ in range(200):
            optimizer.zero_grad()
            scores = model.pairwise(model.query(head, relation), model.candidates(entity))
            loss = torch.nn.functional.cross_entropy(scores, tail)
            loss.backward()
            optimizer.step()
            model.constrain(entity)
            losses.append(loss.item())
        model.eval()
        for name, parameter in model.named_parameters():
            assert parameter.isfinite().all(), name
            if isinstance(parameter, ManifoldParameter):
                assert check_inside(model, parameter.detach()), name
        assert losses[-1] < 0.3 * losses[0]

    @pytest.mark.parametrize("case", OURS, ids=str)
    def test_bad_arguments(self, case: Case) -> None:
        for sizes in ((0, R, D), (N, 0, D), (N, R, 0), (N, R, -2)):
            with pytest.raises(ValueError, match="expected"):
                KG_MODELS[case.name](*sizes, **case.options)
        for name, values in case.refused.items():
            for value in values:
                with pytest.raises(ValueError, match="expected"):
                    KG_MODELS[case.name](N, R, D, **{name: value})

    @pytest.mark.parametrize("case", OURS, ids=str)
    def test_regularized_tensors(self, case: Case) -> None:
        """One row a triple, with gradients to the tables."""
        model = case.build()
        found = model.regularization(*triples().unbind(1))
        assert all(part.dim() == 2 and len(part) == B and part.requires_grad for part in found)
