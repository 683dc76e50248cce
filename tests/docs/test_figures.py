"""The figures on the pages are those of the result files, each with its source."""

import json
import re
import sys

import pytest

from tests.docs.test_reference import ROOT

sys.path.insert(0, str(ROOT / "benchmarks"))
import figures


@pytest.mark.parametrize("page", figures.PAGES, ids=lambda page: page.name)
def test_pages_are_up_to_date(page) -> None:
    text = page.read_text()
    assert figures.MARKS.search(text)
    assert figures.filled(text) == text, "run: python benchmarks/figures.py"


def test_every_source_names_command_machine_and_commit() -> None:
    sources = [line for line in figures.section().splitlines() if line.startswith("- ")]
    assert len(sources) == 6
    for line in sources:
        path = re.search(r"`(benchmarks/results/[^`]+)`", line)
        assert path
        found = json.loads((ROOT / path[1]).read_text())
        assert found["command"] in line
        assert found["environment"]["commit"] in line
        assert found["environment"]["device"].removeprefix("cpu: ") in line
