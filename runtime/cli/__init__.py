"""The `connector` command: one file for each family of commands."""

from runtime.cli.root import main

__all__ = ["main"]
