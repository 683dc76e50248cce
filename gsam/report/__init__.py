"""Tables and pictures of results."""

from gsam.report.plots import learning_curves
from gsam.report.tables import comparison, markdown, paired_difference, with_interval

__all__ = ["comparison", "learning_curves", "markdown", "paired_difference", "with_interval"]
