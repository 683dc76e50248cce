"""``python -m gsam`` is the ``gsam`` command."""

from gsam.cli import main

main()
