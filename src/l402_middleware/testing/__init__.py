"""For the tests of whoever sells: `assert_priced`."""

from .priced import assert_priced

__all__ = ["assert_priced"]
