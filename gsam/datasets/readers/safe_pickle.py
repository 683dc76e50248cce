"""Unpickling of numpy and scipy arrays only: a pickle that asks for anything else is refused, not run."""

from __future__ import annotations

import collections
import copyreg
import io
import pickle
import zipfile
from pathlib import Path
from typing import IO, Any

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
    ("numpy", "scalar"): np.float64(0).__reduce__()[0],
    ("builtins", "bytes"): bytes,
    ("__builtin__", "bytes"): bytes,
    ("builtins", "list"): list,
    ("__builtin__", "list"): list,
    ("copyreg", "_reconstructor"): copyreg._reconstructor,  # type: ignore[attr-defined]
    ("copy_reg", "_reconstructor"): copyreg._reconstructor,  # type: ignore[attr-defined]
    ("builtins", "object"): object,
    ("__builtin__", "object"): object,
    ("_codecs", "encode"): lambda text, encoding: text.encode(encoding),
}


_ERRORS = (
    pickle.UnpicklingError,
    zipfile.BadZipFile,
    EOFError,
    OSError,
    ValueError,
    TypeError,
    AttributeError,
    LookupError,
)
_LEGACY_PICKLES = 4  # torch's older format: magic number, version, system, then the object


class _ArrayUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        key = (module.partition(".")[0], name)
        if key not in _ALLOWED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which is not an array")
        return _ALLOWED[key]

    def persistent_load(self, pid: Any) -> Any:
        raise pickle.UnpicklingError("it holds tensors, expected arrays")


def load_array_pickle(path: Path) -> Any:
    """Load a pickle (of Python 2 or 3) that holds arrays, sparse matrices, dicts and lists.

    Raises:
        DatasetError: Unreadable, truncated, or asking for any other class, with the name of the file.
    """
    try:
        return _unpickle(io.BytesIO(path.read_bytes()))
    except _ERRORS as error:
        raise DatasetError(f"{path}: cannot be read as a pickle of arrays ({error}); get a fresh copy") from error


def load_torch_arrays(path: Path) -> Any:
    """Load what ``torch.save`` wrote, in its zip format or the older one, if it holds arrays and no tensors.

    Raises:
        DatasetError: Unreadable, truncated, or asking for tensors or any other class, with the name of the file.
    """
    try:
        if not zipfile.is_zipfile(path):
            with path.open("rb") as file:
                return [_unpickle(file) for _ in range(_LEGACY_PICKLES)][-1]
        with zipfile.ZipFile(path) as archive:
            name = next((name for name in archive.namelist() if name.endswith("data.pkl")), "data.pkl")
            with archive.open(name) as member:
                return _unpickle(member)
    except _ERRORS as error:
        raise DatasetError(f"{path}: cannot be read as saved arrays ({error}); get a fresh copy") from error


def _unpickle(file: IO[bytes]) -> Any:
    return _ArrayUnpickler(file, encoding="latin1").load()
