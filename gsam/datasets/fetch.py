"""Download of raw files through PyTorch Geometric's dataset classes, which know the addresses."""

from __future__ import annotations

import http.client
import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gsam.datasets.errors import DatasetError
from gsam.datasets.info import DatasetInfo
from gsam.datasets.locations import download_folder, how_to_place, locate, missing_files
from gsam.datasets.registry import info

_TIMEOUT_SECONDS = 60.0


def fetch(name: str, *, folder: str | Path | None = None) -> Path:
    """Return the folder with the raw files of a data set, downloading them if they are nowhere.

    Files are downloaded to a temporary folder and moved into place when complete, so a failure leaves nothing behind.

    Args:
        name: A name of the catalogue.
        folder: Data folder to download to; default ``$GSAM_DATA`` if it can be written to, else the cache folder.
            When given, files elsewhere do not count.

    Raises:
        DatasetError: Unknown name, or the download failed; the message says which file to place where.
    """
    entry = info(name)
    found = locate(entry) if folder is None or entry.bundled else None
    if found is not None:
        return found
    root = Path(folder or download_folder())
    if missing_files(entry, root / entry.folder):
        _download(entry, root)
    return root / entry.folder


def _download(entry: DatasetInfo, root: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="gsam-fetch-") as stage:
        try:
            raw = _download_raw(entry, Path(stage))
            _install(entry, raw, root / entry.folder)
        except _download_errors() as error:
            reason = f"{type(error).__name__}: {error}".splitlines()[0]
            raise DatasetError(
                f"{entry.name}: raw files are missing and could not be downloaded ({reason}); "
                f"{how_to_place(entry, root)}"
            ) from error


def _download_raw(entry: DatasetInfo, stage: Path) -> Path:
    """Let PyG's class download into ``stage`` and return the folder it chose there."""
    downloader = pyg_downloader(entry, stage)
    Path(downloader.raw_dir).mkdir(parents=True)
    with _socket_timeout(_TIMEOUT_SECONDS):
        downloader.download()
    return Path(downloader.raw_dir)


def pyg_downloader(entry: DatasetInfo, root: Path) -> Any:
    """Return an instance of the entry's PyG class that can ``download()`` and knows ``raw_dir``, nothing more.

    The constructor is skipped on purpose: it would go on to process the files into dense tensors.
    """
    import torch_geometric.datasets

    pyg_class = getattr(torch_geometric.datasets, entry.source.pyg_class)
    downloader = pyg_class.__new__(pyg_class)
    downloader.root = str(root)
    downloader.name = entry.pyg_name
    downloader.split = "public"  # read by Planetoid only
    return downloader


def _install(entry: DatasetInfo, raw: Path, destination: Path) -> None:
    if missing := missing_files(entry, raw):
        raise FileNotFoundError(f"the download brought no {missing[0]}")
    destination.mkdir(parents=True, exist_ok=True)
    for file in entry.files:
        partial = destination / f"{file}.{os.getpid()}.part"
        try:
            shutil.copyfile(raw / file, partial)
            os.replace(partial, destination / file)
        finally:
            partial.unlink(missing_ok=True)


@contextmanager
def _socket_timeout(seconds: float) -> Iterator[None]:
    """Bound every network wait: PyG's download sets no timeout of its own."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _download_errors() -> tuple[type[BaseException], ...]:
    """Return what a failing download raises: URLError and timeouts are OSErrors, aiohttp's errors are not all."""
    errors: tuple[type[BaseException], ...] = (OSError, TimeoutError, http.client.HTTPException)
    try:
        import aiohttp
    except ImportError:
        return errors
    return (*errors, aiohttp.ClientError)
