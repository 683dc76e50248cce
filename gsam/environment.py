"""What a result ran on: versions, device, threads, commit."""

from __future__ import annotations

import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any


def environment(device: str = "cpu") -> dict[str, Any]:
    """The record that goes beside every figure.

    Args:
        device: what the run computed on, as torch names it.
    """
    import torch

    from gsam import __version__

    on_gpu = device.startswith("cuda")
    return {
        "gsam": __version__,
        "torch": torch.__version__,
        "torch_geometric": _version("torch-geometric"),
        "geoopt": _version("geoopt"),
        "python": platform.python_version(),
        "device": torch.cuda.get_device_name(device) if on_gpu else _processor(),
        "threads": torch.get_num_threads(),
        "commit": _commit(),
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return f"cpu: {platform.processor() or platform.machine()}"
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return f"cpu: {models[0]}" if models else f"cpu: {platform.machine()}"


def _commit() -> str | None:
    """The commit of the source tree, with ``+`` if it has changes; ``None`` outside one."""
    root = Path(__file__).resolve().parent.parent
    if not (root / ".git").exists():
        return None
    try:
        head = _git(root, "rev-parse", "--short=12", "HEAD")
        return head + ("+" if _git(root, "status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.SubprocessError):
        return None


def _git(root: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=True, timeout=10)
    return done.stdout.strip()
