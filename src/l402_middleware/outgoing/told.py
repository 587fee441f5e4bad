"""What is told of each server that was asked, to whoever counts or times it."""

from collections.abc import Callable
from typing import TypeAlias

from ..core.errors import ProviderFault

Told: TypeAlias = Callable[[str, float, ProviderFault | None], object]
"""Called once for each answer and each failure: with who was asked, how many seconds that took, and the kind of the
failure or None. It is called in the request's own thread or task, and must neither raise nor wait.
"""
