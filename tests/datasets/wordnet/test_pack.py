from __future__ import annotations

import io
import time

import numpy as np
import pytest

from gsam.datasets.wordnet.pack import content_hash, pack, text_array, text_lines

ARRAYS = {"a": np.arange(1000, dtype=np.uint16), "b": np.array([7], dtype=np.uint8)}


def test_numpy_reads_it_without_pickles() -> None:
    with np.load(io.BytesIO(pack(ARRAYS)), allow_pickle=False) as loaded:
        assert set(loaded.files) == set(ARRAYS)
        for name, array in ARRAYS.items():
            assert loaded[name].dtype == array.dtype
            assert np.array_equal(loaded[name], array)


def test_bytes_do_not_depend_on_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    first = pack(ARRAYS)
    monkeypatch.setattr(time, "time", lambda: 2_000_000_000.0)
    assert pack(ARRAYS) == first


def test_hash_sees_names_types_shapes_and_values_but_not_order() -> None:
    base = content_hash(ARRAYS)
    assert content_hash(dict(reversed(ARRAYS.items()))) == base
    others = [
        {"c": ARRAYS["a"], "b": ARRAYS["b"]},
        ARRAYS | {"a": ARRAYS["a"].astype(np.uint32)},
        ARRAYS | {"a": ARRAYS["a"].reshape(10, 100)},
        ARRAYS | {"a": ARRAYS["a"][::-1]},
    ]
    assert len({base, *map(content_hash, others)}) == 5


def test_objects_are_refused() -> None:
    with pytest.raises(ValueError, match="allow_pickle"):
        pack({"a": np.array([{}], dtype=object)})


def test_text_round_trip() -> None:
    assert text_lines(text_array(["a", "", "é x"])) == ["a", "", "é x"]
