"""``python -m gsam`` is the command."""

import subprocess
import sys

import gsam


def test_module_runs_the_command() -> None:
    done = subprocess.run([sys.executable, "-m", "gsam", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == gsam.__version__
