"""The one exception of the data room."""

from __future__ import annotations


class DatasetError(ValueError):
    """A data set that cannot be used: unknown, missing, broken, or with values no model can be trained on.

    The message is one line: what was expected, what was found, and the way out.
    """
