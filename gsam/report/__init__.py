"""Tables and pictures of results."""

from gsam.report.bench_plots import accuracy_against_time, difference_forest
from gsam.report.bench_rows import BenchRow, bench_rows, signed_rank_p
from gsam.report.bench_tables import accuracy_table, chosen_table, latex, timing_table, write_bench_tables
from gsam.report.disk import embedding_picture
from gsam.report.kg_plots import mrr_curves
from gsam.report.plots import learning_curves
from gsam.report.tables import comparison, markdown, paired_difference, with_interval

__all__ = [
    "BenchRow",
    "accuracy_against_time",
    "accuracy_table",
    "bench_rows",
    "chosen_table",
    "comparison",
    "difference_forest",
    "embedding_picture",
    "latex",
    "learning_curves",
    "markdown",
    "mrr_curves",
    "paired_difference",
    "signed_rank_p",
    "timing_table",
    "with_interval",
    "write_bench_tables",
]
