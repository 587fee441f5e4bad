"""Reads what a server answered, and blames the server for what cannot be read. No part of it reaches a message."""

from typing import Any

import httpx2

from ..core.errors import ProviderError


def members(provider: str, answer: httpx2.Response) -> dict[str, Any]:
    """The members of an answer that has to be a JSON object. Raises `ProviderError` for any other."""
    try:
        found: Any = answer.json()
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise ProviderError(
            "bad-answer",
            f"{provider} answered without a JSON object (HTTP {answer.status_code}); is the URL that of its API?",
        )
    return found
