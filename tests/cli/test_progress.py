import io

from rich.console import Console

from gsam.cli.progress import LINES_EVERY, TrainingProgress
from gsam.fewshot import History


def shown(*, terminal: bool, quiet: bool = False) -> str:
    text = io.StringIO()
    console = Console(file=text, force_terminal=terminal, width=100, color_system=None)
    history = History()
    with TrainingProgress(console, quiet=quiet) as progress:
        progress.start("gpn adam seed 0", 100)
        for number in range(1, LINES_EVERY + 1):
            history.episode.append(number * 10)
            history.val_accuracy.append(50.0 + number)
            progress.update(history)
        progress.say("done")
    return text.getvalue()


def test_plain_lines_without_a_terminal() -> None:
    best = 50 + LINES_EVERY
    expected = f"gpn adam seed 0: episode {LINES_EVERY * 10}, validation {best}.0 % (best {best}.0)"
    assert shown(terminal=False).splitlines() == [expected, "done"]


def test_bar_on_a_terminal_and_nothing_when_quiet() -> None:
    assert "gpn adam seed 0" in shown(terminal=True)
    assert "\x1b[" in shown(terminal=True)
    assert shown(terminal=False, quiet=True) == shown(terminal=True, quiet=True) == ""
