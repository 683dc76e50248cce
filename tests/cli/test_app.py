"""The command itself: help, version, speed of the answer, and how errors come out."""

import subprocess
import sys
import time
import warnings

import pytest
import torch

import gsam as package
from gsam.cli import app as module


def test_help_answers_fast_and_imports_nothing_heavy() -> None:
    code = (
        "import sys; sys.argv = ['gsam', '--help']\n"
        "from gsam.cli import main\n"
        "try: main()\n"
        "except SystemExit as end: assert not end.code\n"
        "heavy = {'torch', 'numpy', 'scipy', 'sklearn', 'matplotlib', 'torch_geometric'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    seconds = []
    for _ in range(3):
        started = time.perf_counter()
        done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True)
        seconds.append(time.perf_counter() - started)
    assert "fewshot" in done.stdout
    assert min(seconds) < 1.0  # 0.1 s on a quiet machine; 0.5 s promised


@pytest.mark.parametrize("group", [(), ("fewshot",), ("fewshot", "run"), ("datasets",), ("demo",)])
def test_every_command_has_help(gsam, group: tuple[str, ...]) -> None:
    done = gsam(*group, "--help")
    assert done.returncode == 0
    assert "Usage" in done.stdout


def test_version(gsam) -> None:
    assert gsam("--version").stdout.strip() == package.__version__


def test_errors_of_ours_are_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(**_: object) -> None:
        raise AssertionError("a bug")

    monkeypatch.setattr(module, "app", broken)
    with pytest.raises(AssertionError, match="a bug"):
        module.main([])


def test_interrupt_says_how_to_continue(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted(**_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "app", interrupted)
    with pytest.raises(SystemExit) as end:
        module.main([])
    assert end.value.code == 130
    assert "--resume" in capsys.readouterr().err


def test_debug_shows_the_traceback(gsam) -> None:
    done = gsam("datasets", "info", "nope", GSAM_DEBUG="1")
    assert "Traceback" in done.stderr


@pytest.mark.parametrize("group", [(), ("fewshot",), ("datasets",)])
def test_a_group_without_a_command_shows_its_help(gsam, group: tuple[str, ...]) -> None:
    """In lines of its own, not as the one line of an error."""
    done = gsam(*group)
    assert done.returncode == 2
    assert done.stderr.startswith("Usage: ")
    assert "\nCommands:\n" in done.stderr


@pytest.mark.parametrize(
    "error",
    [MemoryError(), torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("can't allocate memory: 240 bytes")],
)
def test_memory_that_runs_out_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: Exception
) -> None:
    def greedy(**_: object) -> None:
        raise error

    monkeypatch.setattr(module, "app", greedy)
    with pytest.raises(SystemExit) as end:
        module.main([])
    assert end.value.code == 2
    assert capsys.readouterr().err.startswith("gsam: expected enough memory, found too little")


def test_a_warning_of_ours_is_one_line(inside, monkeypatch: pytest.MonkeyPatch) -> None:
    """As that of a damaged checkpoint, which is no error: the one before it is taken."""

    def command(**_: object) -> int:
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            warnings.warn_explicit("a damaged one;\n  going on", UserWarning, package.__file__, 7)
            warnings.warn_explicit("somebody else's", UserWarning, "elsewhere.py", 7)
        return 0

    before = warnings.showwarning
    monkeypatch.setattr(module, "app", command)
    done = inside()
    assert warnings.showwarning is before
    assert done.stderr.splitlines()[0] == "gsam: note: a damaged one; going on"
    assert "elsewhere.py:7: UserWarning: somebody else's" in done.stderr


@pytest.mark.parametrize("command", [("datasets", "list"), ("kg", "eval"), ("demo",), ()])
def test_several_processes_only_where_they_share_the_work(inside, monkeypatch, command: tuple[str, ...]) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    done = inside(*command)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    found = " ".join(command) or "no command"
    assert f"expected fewshot run, nodes run, kg train in several processes, found {found};" in done.stderr
