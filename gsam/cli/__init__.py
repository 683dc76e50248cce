"""The command line. Each group is one thin file: parse, call, print; heavy imports wait until a command runs."""

from gsam.cli.app import main

__all__ = ["main"]
