"""Tables of knowledge-graph results, from figures that are given."""

import json
from pathlib import Path

import pytest

from gsam.cli.kg_tables import figures_header, figures_row, show_summary, show_table
from gsam.evaluation import mean_ci95


def figures(mrr: float) -> dict[str, float]:
    return {"mrr": mrr, "hits@1": mrr / 2, "hits@3": mrr, "hits@10": 2 * mrr, "mr": 12.345, "count": 1234}


def test_a_row_under_its_header() -> None:
    ks = (1, 10)
    assert figures_header("relation", ks) == ["relation", "MRR", "Hits@1", "Hits@10", "mean rank", "ranks"]
    assert figures_row("far", figures(0.25), ks) == ["far", "0.2500", "0.1250", "0.5000", "12.3", "1,234"]


def test_nothing_is_cut_and_numbers_are_flush_right(capsys: pytest.CaptureFixture[str]) -> None:
    name = "n" * 300
    show_table(("name", "MRR"), [[name, "1"], ["b", "22.5"]], numbers=(1,))
    lines = capsys.readouterr().out.splitlines()
    assert name in lines[1]
    assert len(lines[1].rstrip()) == len(lines[2].rstrip())


def write(folder: Path, seed: int, mrr: float) -> Path:
    folder.mkdir()
    content = {
        "seed": seed,
        "test": {"both": figures(mrr)},
        "test_hybonet": {"both": figures(mrr + 0.01)},
        "test_categories": {"1-N": {"both": figures(mrr - 0.01)}},
    }
    (folder / "results.json").write_text(json.dumps(content))
    return folder


def test_the_summary_of_one_run_reads_its_results_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    show_summary([write(tmp_path / "a", 0, 0.3)])
    lines = capsys.readouterr().out.splitlines()
    for line, name, mrr in zip(
        lines[1:4], ("standard protocol", "hybonet protocol", "1-N relations"), (0.3, 0.31, 0.29), strict=True
    ):
        assert line.startswith(name)
        assert line.split()[2] == f"{mrr:.4f}"
    assert lines[4].startswith(f"written: {tmp_path / 'a' / 'results.json'}")


def test_the_summary_of_several_has_means_with_intervals(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    show_summary([write(tmp_path / str(seed), seed, mrr) for seed, mrr in ((0, 0.3), (1, 0.4))])
    shown = capsys.readouterr().out
    mean, interval = mean_ci95([0.3, 0.4])
    line = next(line for line in shown.splitlines() if line.startswith("mean, standard protocol"))
    assert f"{mean:.4f} ± {interval:.4f}" in line
    assert "seed 1, hybonet protocol" in shown
