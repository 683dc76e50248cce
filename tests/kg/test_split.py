"""What one process can see of split tables; two are in tests/distributed/test_split.py."""

from __future__ import annotations

import pytest
import torch
from torch_geometric.nn.kge import ComplEx

from gsam.distributed import ALONE, Ranks, RowSplit, row_split, split_tables, whole_state_dict
from gsam.kg.groups import entity_tables
from gsam.kg.models import HyboNet
from gsam.kg.score_blocks import LANES, Pool
from gsam.kg.split import split_entities
from gsam.manifolds import manifold_groups, manifold_of


def test_one_process_keeps_whole_tables() -> None:
    model = HyboNet(7, 2, 3, sparse=True)
    split_entities(model, ALONE)
    assert row_split(model) is None
    assert not split_tables(model)
    weights = whole_state_dict(model)
    assert all(torch.equal(weights[name], value) for name, value in model.state_dict().items())


@pytest.mark.parametrize("size", [2, 3, 7])
def test_rows_are_dealt_out_once(size: int) -> None:
    whole = HyboNet(7, 2, 3, sparse=True)
    weights, parts = {name: value.clone() for name, value in whole.state_dict().items()}, []
    for rank in range(size):
        model = HyboNet(7, 2, 3, sparse=True)
        model.load_state_dict(weights)
        split_entities(model, Ranks(rank, size))
        assert split_tables(model).keys() == entity_tables(model).keys() == {"head_bias", "tail_bias", "node_emb"}
        assert manifold_of(model.node_emb.weight) is model.manifold
        assert [group["manifold"] for group in manifold_groups(model)].count(model.manifold) == 1
        assert model.node_emb.sparse
        parts.append(model.state_dict())
    for name, value in weights.items():
        shares = [part[name] for part in parts]
        whole_again = torch.cat(shares) if name.removesuffix(".weight") in entity_tables(whole) else shares[0]
        assert torch.equal(whole_again, value), name


def test_models_of_pyg_have_tables_too() -> None:
    model = ComplEx(6, 2, 4, sparse=True)
    assert entity_tables(model).keys() == {"node_emb", "node_emb_im"}
    split_entities(model, Ranks(1, 2))
    assert model.node_emb_im.weight.shape == (3, 4)
    assert model.rel_emb.weight.shape == (2, 4)


def test_an_unusual_table_is_refused() -> None:
    model = ComplEx(6, 2, 4, sparse=True)
    model.node_emb.max_norm = 1.0
    with pytest.raises(ValueError, match="without max_norm and padding_idx"):
        split_entities(model, Ranks(1, 2))


@pytest.mark.parametrize("index", [7, -1])
def test_a_row_that_there_is_not_is_refused(index: int) -> None:
    model = HyboNet(7, 2, 3, sparse=True)
    split_entities(model, Ranks(1, 2))
    with pytest.raises(IndexError, match=f"expected rows from 0 to 6, found {min(index, 2)} to {max(index, 2)}"):
        model.node_emb(torch.tensor([2, index]))


@pytest.mark.parametrize("entities", [LANES, 2 * LANES - 1, 2 * LANES])
def test_a_pool_of_some_entities_has_a_column_for_others(entities: int) -> None:
    pool = Pool(entities, RowSplit(entities, Ranks(1, 2)))
    start, stop = pool.bounds
    assert (start, stop, len(pool), pool.largest) == (entities // 2, entities, stop - start, -(-entities // 2))
    index = pool.index(torch.device("cpu"))
    assert index[: len(pool)].tolist() == list(range(start, stop))
    assert len(index) > len(pool)
    assert len(index) % LANES == 0
    assert set(index[len(pool) :].tolist()) == {stop - 1}
    columns = pool.columns(torch.tensor([start, 0, stop - 1]))
    assert columns.tolist() == [0, len(pool), len(pool) - 1]
