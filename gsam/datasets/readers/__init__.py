"""One reader per file layout; each module offers ``read``. Import the module you need: there is nothing here."""

from __future__ import annotations

__all__: list[str] = []
