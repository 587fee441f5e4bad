"""The body of a request that is answered before it was read: how much of it is still taken from the client.

A server that closes a connection with bytes of it unread resets it: nginx then answers 502 in place of the answer, and
urllib sees an error. So a part of the body is read and forgotten, after the answer went out and before it ends.
"""

from typing import Final

BYTES: Final = 16 * 1024 * 1024
"""As much as that is read; a body that says it is longer is left alone, because it would be reset in the end."""

SECONDS: Final = 3.0
"""And for so long, together."""


def is_worth_reading(length: int | None, *, is_chunked: bool, expects: bool) -> bool:
    """Whether to read the rest of a body of `length` bytes, or of one that comes in chunks.

    Not where its client `expects` to be asked for it (RFC 9110, section 10.1.1): it sends nothing after a refusal.
    """
    if expects:
        return False
    return is_chunked or (length is not None and 0 < length <= BYTES)
