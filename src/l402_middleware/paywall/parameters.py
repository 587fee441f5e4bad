"""Every parameter of a paywall, and every setting there is: one row each.

From it come how a setting is read, what a value may be, what `l402 doctor` hides of it, which names are unknown, and
both tables of docs/configuration.md, which `python -m tests.docs.configuration` writes. Whoever adds a parameter to
`Paywall` adds a row here.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

from ..invoicing.invoicing import MAX_EXPIRY
from .service import service_from_text
from .values import Number, OneOf, as_it_is, is_text, several, yes_or_no

# The largest number that a setting may have: ten years in seconds, or a third of a gigabyte.
MAX_SETTING: Final = 10 * 365 * 24 * 3600

# What lies on a disk may be more: a terabyte.
MAX_SPOOL_BYTES: Final = 10**12

MAX_THREADS: Final = 10_000

# A day less than `Invoicing` accepts, for a node whose clock is fast.
MAX_INVOICE_EXPIRY: Final = MAX_EXPIRY - 24 * 3600

Hides: TypeAlias = Literal["", "keys", "path", "url", "provider"]
"""Where in a setting's text a secret is: nowhere, in each part of it, or where such a text may have one."""


@dataclass(frozen=True, slots=True)
class Setting:
    """A parameter of `Paywall`, and the setting that gives it.

    - `meaning`, `example`: for the documentation, in Markdown.
    - `setting`: its name; empty where only code can give it. `read` makes the parameter of its text, or of a value that
      a mapping such as Flask's configuration holds; without it `settings.py` does, out of several settings.
    - `check`: raises `ConfigurationError` for a value that cannot work, where the paywall does not find out by itself.
    - `hides`: where in the setting there is a secret.
    """

    parameter: str
    meaning: str = ""
    setting: str = ""
    example: str = ""
    read: Callable[[Any], Any] | None = None
    check: Callable[[str, object], None] | None = None
    hides: Hides = ""


SETTINGS: Final = (
    Setting(
        "provider",
        "where invoices come from: a [provider](#providers), or a function from an `InvoiceRequest` to "
        "a BOLT 11 invoice, or [a list of these](providers.md#several-wallets), which are asked in order",
        setting="L402_PROVIDER",
        example="a [provider URL](#providers), or several with white space between them; required",
        hides="provider",
    ),
    Setting(
        "ledger",
        "where uses are counted: a [ledger](#ledgers) or its URL. Required, except with `DevNode`, "
        "which then gets a `MemoryLedger`",
        setting="L402_LEDGER",
        example="a [ledger URL](#ledgers); required except with `dev:`",
        read=as_it_is,
        hides="url",
    ),
    Setting(
        "secret_keys",
        "a list of [secrets](#secret-keys), oldest first. Where not given: `L402_SECRET_KEYS`; where "
        "that is not set either: one that the ledger makes and keeps",
        setting="L402_SECRET_KEYS",
        example="secrets, separated by commas, oldest first",
        hides="keys",
    ),
    Setting(
        "secret_keys",
        setting="L402_SECRET_KEYS_FILE",
        example="a file that holds the same; it wins over `L402_SECRET_KEYS`",
        hides="path",
    ),
    Setting(
        "service",
        "the name in every credential; 1 to 32 letters, digits and hyphens. Applications that share "
        "keys and differ in this name refuse each other's credentials",
        setting="L402_SERVICE",
        example="`weather`",
        read=str,
        check=is_text,
    ),
    Setting(
        "network",
        'for a function as provider: the network of its invoices, `"bitcoin"` (where not given), '
        '`"testnet"`, `"signet"` or `"regtest"`. A provider knows its own',
    ),
    Setting(
        "provider_timeout",
        "seconds in which an invoice is made or refused, 20 where not given; [several "
        "wallets](providers.md#several-wallets) share them",
        setting="L402_PROVIDER_TIMEOUT",
        example="`10`",
        read=float,
    ),
    Setting(
        "provider_threads",
        "threads of a process that may [wait for a slow provider](providers.md#threads), 3 where not given",
        setting="L402_PROVIDER_THREADS",
        example="`8`",
        read=int,
    ),
    Setting(
        "invoice_expiry",
        "seconds in which an invoice can be paid; a year at most",
        setting="L402_INVOICE_EXPIRY",
        example="`300`",
        read=int,
        check=Number(int, 1, MAX_INVOICE_EXPIRY),
    ),
    Setting(
        "replay_for",
        "seconds in which a finished single-use answer is given again to the same request; 0 for never",
        setting="L402_REPLAY_FOR",
        example="`0`",
        read=float,
        check=Number(float, 0, MAX_SETTING),
    ),
    Setting(
        "replay_max_bytes",
        "the longest answer, in bytes, that is kept for that",
        setting="L402_REPLAY_MAX_BYTES",
        example="`65536`",
        read=int,
        check=Number(int, 0, MAX_SETTING),
    ),
    Setting(
        "lease",
        "seconds after which a use held by a worker that died is free again",
        setting="L402_LEASE",
        example="`120`",
        read=float,
        check=Number(float, 1, MAX_SETTING),
    ),
    Setting(
        "verify_settlement",
        "ask the backend, once per payment, whether it was received, for those where a preimage can be "
        "known earlier than that",
        setting="L402_VERIFY_SETTLEMENT",
        example="`yes`",
        read=yes_or_no,
    ),
    Setting(
        "invalid_credential_status",
        "status for a credential that cannot be honoured; 401 is the letter of the specification",
        setting="L402_INVALID_CREDENTIAL_STATUS",
        example="`401`",
        read=int,
    ),
    Setting(
        "unknown_caveats",
        'conditions that others added to a credential and that this package does not know: `"skip"` '
        '(the specification) or `"reject"`',
        setting="L402_UNKNOWN_CAVEATS",
        example="`reject`",
        read=str,
    ),
    Setting(
        "rates",
        "where exchange rates for [fiat prices](fiat.md) come from, `Rates([...])`. Where not given: "
        "Coinbase, Kraken and Bitstamp, asked only for a fiat price",
        setting="L402_RATES",
        example=(
            "`coinbase kraken lnbits+https://lnbits.example`: [sources of exchange "
            "rates](fiat.md#where-the-rate-comes-from)"
        ),
    ),
    Setting(
        "rates",
        setting="L402_RATES_MAX_AGE",
        example="`300`: seconds after which a rate is not used any more",
    ),
    Setting(
        "trusted_proxies",
        'the proxies in front of the application, by address or network, or `"unix"` for those that '
        "connect through a Unix socket. [Who asks](security.md#who-asks) is then what they say; nobody "
        "is trusted by default",
        setting="L402_TRUSTED_PROXIES",
        example="`127.0.0.1, 10.0.0.0/8`",
        read=several,
    ),
    Setting(
        "forwarded_header",
        'the header in which they say it: `"X-Forwarded-For"` or `"Forwarded"`. Required with `trusted_proxies`',
        setting="L402_FORWARDED_HEADER",
        example="`X-Forwarded-For`",
        read=str,
        check=is_text,
    ),
    Setting(
        "certificate_header",
        "the header in which they hand over their caller's TLS client certificate, for "
        '[`bind_caller="tls"`](security.md#where-the-certificate-comes-from). They must remove it where '
        "a caller sent it",
        setting="L402_CERTIFICATE_HEADER",
        example="`Client-Cert`",
        read=str,
        check=is_text,
    ),
    Setting(
        "challenge_limit",
        "how many [unpaid challenges one peer may have](security.md#how-many-challenges), such as "
        '`"60/minute"`; where not given, any number',
        setting="L402_CHALLENGE_LIMIT",
        example="`60/minute`",
        read=str,
        check=is_text,
    ),
    Setting(
        "limit_storage",
        'a URL such as `"redis://redis.example:6379/1"`: the processes and machines that name the same '
        "one count together. Needs `pip install 'l402_middleware[limits,redis]'`",
        setting="L402_LIMIT_STORAGE",
        example="`redis://redis.example:6379/1`",
        read=str,
        check=is_text,
        hides="url",
    ),
    Setting(
        "spool_bodies",
        "how many bodies of unpaid requests a process [keeps at a time](security.md#bodies), where the "
        "price needs the body",
        setting="L402_SPOOL_BODIES",
        example="`200`",
        read=int,
        check=Number(int, 1, MAX_SETTING),
    ),
    Setting(
        "spool_bytes",
        "how many bytes these have together; what is beyond gets a 503. Paid requests have as much room of their own",
        setting="L402_SPOOL_BYTES",
        example="`67108864`",
        read=int,
        check=Number(int, 1, MAX_SPOOL_BYTES),
    ),
    Setting(
        "body_seconds",
        "how many seconds such a body may take to arrive, beside one for every 16 KiB of it",
        setting="L402_BODY_SECONDS",
        example="`10`",
        read=float,
        check=Number(float, 1, MAX_SETTING),
    ),
    Setting(
        "price_threads",
        "threads of a process that may compute [prices that take long](security.md#price-functions); on an event loop, "
        "the threads for price functions that are not async",
        setting="L402_PRICE_THREADS",
        example="`8`",
        read=int,
        check=Number(int, 1, MAX_THREADS),
    ),
    Setting(
        "schemes",
        "the [schemes](paying.md#two-schemes) by which a caller can pay, and show that it did: "
        '`"l402"`, `"payment"`, or both',
        setting="L402_SCHEMES",
        example="`l402`",
        read=several,
    ),
    Setting(
        "credential_header",
        'the header that credentials come in. `"Payment-Authorization"` is for an application that has an '
        "`Authorization` [of its own](paying.md#an-authorization-of-your-own)",
        setting="L402_CREDENTIAL_HEADER",
        example="`Payment-Authorization`",
        read=str,
        check=OneOf("Authorization", "Payment-Authorization"),
    ),
    Setting(
        "cors",
        "whose pages' scripts may read a 402, and the answer that they paid for: `\"*\"` for everybody's, or a list of "
        "[origins](security.md#browsers); nobody's where not given",
        setting="L402_CORS",
        example="`https://shop.example`",
        read=several,
    ),
    Setting(
        "discovery",
        "what the service is, a `Service`, for [documents by which programs find it](discovery.md); where not given, "
        "there are none",
        setting="L402_DISCOVERY",
        example="`Weather: forecasts for every town`: a name, a colon, and what it does",
        read=service_from_text,
    ),
    Setting(
        "observe",
        "a function, or a list of them, that is told what happens: [events](reference.md#l402-middleware-events)",
    ),
    Setting(
        "clock",
        "a function that gives the time in unix seconds; for tests",
    ),
)


def check(**values: object) -> None:
    """Raise `ConfigurationError`, which names the parameter, for a value that its row does not allow."""
    for row in SETTINGS:
        if row.check is not None and row.parameter in values:
            row.check(row.parameter, values[row.parameter])
