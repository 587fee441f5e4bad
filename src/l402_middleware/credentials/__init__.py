"""For who holds a credential: what it says, and how to hand it on with less in it. Needs no key."""

from .attenuation import attenuate
from .inspection import inspect

__all__ = ["attenuate", "inspect"]
