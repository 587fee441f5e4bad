"""Everything this package raises, as one tree.

    L402Error
    ├── ConfigurationError   our caller's mistake; raised at start-up, names the setting and the remedy
    ├── BadCredential        what a client presented cannot be honoured; becomes a 402 with its code
    ├── Refusal              a price function's own "no" to a request; becomes that status, before any invoice
    ├── InvalidInvoice       a string that is not a well-formed BOLT 11 invoice
    ├── ProviderError        the Lightning backend failed or answered wrongly; becomes a 503
    ├── RateError            no exchange rate that can be trusted, for a fiat price; becomes a 503
    └── LedgerError          the ledger failed or cannot be reached; becomes a 503

No message carries a secret: no key, preimage, macaroon, credential or backend answer.
"""

from typing import Literal, TypeAlias

CredentialCode: TypeAlias = Literal[
    "malformed-credential",
    "invalid-credential",
    "invalid-preimage",
    "expired",
    "wrong-service",
    "wrong-endpoint",
    "wrong-request",
    "wrong-caller",
    "already-used",
    "revoked",
    "challenge-expired",
    "method-unsupported",
    "several-credentials",
]


class L402Error(Exception):
    """The root of every error of this package."""


class ConfigurationError(L402Error):
    """The application is set up wrongly; the message says which setting and how to mend it."""


class BadCredential(L402Error):
    """A presented credential cannot be honoured.

    `code` goes into the answer's body, for programs; the message is its `title`, for people.
    """

    def __init__(self, code: CredentialCode) -> None:
        self.code = code
        super().__init__(_TITLES[code])


_TITLES: dict[CredentialCode, str] = {
    "malformed-credential": "The Authorization header is not a well-formed credential.",
    "invalid-credential": "The credential was not issued by this server, or was altered.",
    "invalid-preimage": "The preimage does not belong to this credential's payment.",
    "expired": "The credential has expired.",
    "wrong-service": "The credential was issued for another service.",
    "wrong-endpoint": "The credential was bought for another endpoint.",
    "wrong-request": "The credential was bought for another request.",
    "wrong-caller": "The credential is for another IP address or TLS client certificate than this request came with.",
    "already-used": "The credential has been used up.",
    "revoked": "The credential was revoked.",
    "challenge-expired": "The Payment challenge has expired; the L402 credential of the same 402 may still be good.",
    "method-unsupported": "The Payment credential is not for a charge over Lightning, which is all that is taken here.",
    "several-credentials": "The request came with more than one Payment credential.",
}


class Refusal(L402Error):
    """Raised by a price function for a request that cannot succeed: nobody is asked to pay for it.

    `status` is a 4xx, or 503 for "not now"; `code` is a stable kebab-case string for programs and
    `title` one sentence for people; both go into the RFC 9457 body. `retry_after`, in seconds, says when to come again.
    """

    def __init__(self, status: int, code: str, title: str, retry_after: int | None = None) -> None:
        if not (400 <= status < 500 or status == 503) or status in (401, 402):
            raise ConfigurationError(
                f"Refusal(status={status}): use a 4xx other than 401 and 402, or 503; "
                "the paywall itself decides who has to pay"
            )
        self.status = status
        self.code = code
        self.title = title
        self.retry_after = retry_after
        # All of them: an exception is unpickled from its arguments, and a price may be computed in a process pool.
        super().__init__(status, code, title, retry_after)

    def __str__(self) -> str:
        return self.title


class InvalidInvoice(L402Error):
    """A string is not a well-formed BOLT 11 invoice; the message names the field."""


ProviderFault: TypeAlias = Literal[
    "unreachable", "timeout", "busy", "tls", "unauthorized", "rejected", "bad-answer", "wrong-invoice"
]


class ProviderError(L402Error):
    """The Lightning backend failed, or its answer was not what was asked for.

    `kind` is for programs; the message names the provider and the remedy.
    """

    def __init__(self, kind: ProviderFault, message: str) -> None:
        self.kind = kind
        super().__init__(message)


class RateError(L402Error):
    """No exchange rate can be trusted, so a fiat price cannot be converted; the message names the sources."""


class LedgerError(L402Error):
    """The ledger failed or cannot be reached; nothing was served, and what was held stays usable."""
