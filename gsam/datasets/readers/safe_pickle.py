"""Unpickling of numpy and scipy arrays only: a pickle that asks for anything else is refused, not run."""

from __future__ import annotations

import collections
import copyreg
import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

from gsam.datasets.errors import DatasetError

# Old pickles name modules that have moved since, so only the package and the last part of the name are looked at.
_ALLOWED: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("numpy", "_reconstruct"): np.empty(0).__reduce__()[0],
    ("scipy", "csr_matrix"): sp.csr_matrix,
    ("collections", "defaultdict"): collections.defaultdict,
    ("builtins", "list"): list,
    ("__builtin__", "list"): list,
    ("copyreg", "_reconstructor"): copyreg._reconstructor,  # type: ignore[attr-defined]
    ("copy_reg", "_reconstructor"): copyreg._reconstructor,  # type: ignore[attr-defined]
    ("builtins", "object"): object,
    ("__builtin__", "object"): object,
    ("_codecs", "encode"): lambda text, encoding: text.encode(encoding),
}


class _ArrayUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        key = (module.partition(".")[0], name)
        if key not in _ALLOWED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which is not an array")
        return _ALLOWED[key]


def load_array_pickle(path: Path) -> Any:
    """Load a pickle (of Python 2 or 3) that holds arrays, sparse matrices, dicts and lists.

    Raises:
        DatasetError: Unreadable, truncated, or asking for any other class, with the name of the file.
    """
    try:
        return _ArrayUnpickler(io.BytesIO(path.read_bytes()), encoding="latin1").load()
    except (pickle.UnpicklingError, EOFError, OSError, ValueError, TypeError, AttributeError, IndexError) as error:
        raise DatasetError(f"{path}: cannot be read as a pickle of arrays ({error}); get a fresh copy") from error
