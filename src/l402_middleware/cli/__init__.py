"""The command `l402`; each of its commands has a module here."""

from .command import main

__all__ = ["main"]
