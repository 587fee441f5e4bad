"""Caveats: the conditions in a macaroon, and how a repeated one may only narrow (bLIP 26, "Caveats").

A challenge carries exactly three, because npm's `macaroon`, the most limited library, cannot write a fourth:

    services=<service>:0
    <service>_valid_until=<unix seconds>
    <service>_offer=<endpoint>.<msat>.<uses or *>.<request or ->

Where a sale is bound to its caller, a fourth says to whom (see `core.callers`).

Whoever holds a macaroon can append caveats. So the first one of a condition is what was sold, and each
later one can only take something away.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from .callers import ANYBODY, MAX_CONDITIONS, Callers, from_networks, with_certificate
from .errors import BadCredential, ConfigurationError
from .money import Msat

UnknownCaveats: TypeAlias = Literal["skip", "reject"]

# No underscore: it ends the service name in "<service>_valid_until", and a service "a" must not
# answer for the conditions of a service "a_b".
_SERVICE_NAME = re.compile("[A-Za-z0-9][A-Za-z0-9-]{0,31}", re.ASCII)

_UNIX_SECONDS = re.compile(rb"0|[1-9][0-9]{0,14}")


@dataclass(slots=True)
class Terms:
    """What was quoted, and so what a credential is good for.

    `endpoint` and `request` are digests (see `core.binding`); `request` is None where any
    request to the endpoint will do. `uses` is None for a pass. `valid_until` is unix seconds; at that very second the
    credential is expired. `callers` are those who may use it.
    """

    endpoint: str
    amount: Msat
    uses: int | None
    request: str | None
    valid_until: int
    callers: Callers = ANYBODY


class Caveats:
    """Writes and reads the caveats of one service."""

    def __init__(self, service: str, unknown: UnknownCaveats = "skip") -> None:
        if not _SERVICE_NAME.fullmatch(service):
            raise ConfigurationError(
                f"service {service!r}: use 1 to 32 letters, digits and hyphens, beginning with a letter or digit"
            )
        if unknown not in ("skip", "reject"):
            raise ConfigurationError(f"unknown_caveats must be 'skip' or 'reject', not {unknown!r}")
        self.service = service
        self._tier = f"{service}:0".encode()
        self._namespace = f"{service}_".encode()
        self._valid_until = self._namespace + b"valid_until"
        self._offer = self._namespace + b"offer"
        self._lists = (b"services", self._namespace + b"capabilities")
        self._callers = {self._namespace + b"ip": from_networks, self._namespace + b"tls": with_certificate}
        self._rejects_unknown = unknown == "reject"

    def write(self, terms: Terms) -> list[str]:
        """The caveats of a new macaroon.

        Raises `ConfigurationError` where `valid_until` is a time that `read` refuses: nobody should pay for that.
        """
        if not _UNIX_SECONDS.fullmatch(str(terms.valid_until).encode()):
            raise ConfigurationError(
                f"a credential cannot be valid until {terms.valid_until}: it must be whole unix seconds below 10**15; "
                "lower valid_for, or look at the expiry of the provider's invoices"
            )
        uses = "*" if terms.uses is None else terms.uses
        return [
            f"services={self.service}:0",
            f"{self.service}_valid_until={terms.valid_until}",
            f"{self.service}_offer={terms.endpoint}.{terms.amount.msat}.{uses}.{terms.request or '-'}",
            *terms.callers.write(self.service),
        ]

    def read(self, caveats: Iterable[bytes], preimage: bytes) -> Terms:
        """The terms that authentic `caveats` leave, with `preimage` presented beside them.

        Raises `BadCredential`: `wrong-service` where the service is not (or no longer) named,
        `invalid-credential` where a condition is missing, repeated and not narrower, ill-formed, or in our
        namespace and not known. Whether the terms fit the request, its sender and the time is not checked here.
        """
        narrowing: dict[bytes, bytes] = {}
        callers = ANYBODY
        for caveat in caveats:
            condition, equals, value = caveat.partition(b"=")
            earlier = narrowing.get(condition)
            if not equals:
                allowed = not self._rejects_unknown and not condition.startswith(self._namespace)
            elif condition in self._lists:
                allowed = _is_sublist(value, earlier)
            elif condition == self._valid_until:
                allowed = bool(_UNIX_SECONDS.fullmatch(value)) and (earlier is None or int(value) <= int(earlier))
            elif condition == self._offer:
                allowed = earlier is None or value == earlier
            elif condition == b"preimage":
                allowed = value.lower() == preimage.hex().encode()
            elif condition in self._callers:
                more = _understood(self._callers[condition], value)
                callers &= more or ANYBODY
                allowed = more is not None and len(callers) <= MAX_CONDITIONS
            else:
                allowed = not self._rejects_unknown and not condition.startswith(self._namespace)
            if not allowed:
                raise BadCredential("invalid-credential")
            narrowing[condition] = value
        if self._tier not in narrowing.get(b"services", b"").split(b","):
            raise BadCredential("wrong-service")
        return self._terms(narrowing, callers)

    def _terms(self, narrowing: dict[bytes, bytes], callers: Callers) -> Terms:
        try:
            endpoint, msat, uses, request = narrowing[self._offer].decode().split(".")
            return Terms(
                endpoint,
                Msat(int(msat)),
                None if uses == "*" else int(uses),
                None if request == "-" else request,
                int(narrowing[self._valid_until]),
                callers,
            )
        except (KeyError, ValueError, ConfigurationError):
            raise BadCredential("invalid-credential") from None

    def sold_until(self, caveats: Iterable[bytes]) -> int:
        """The `valid_until` that was sold, in `caveats` that `read` has accepted; later ones are the holder's own.

        A payment must be remembered this long: whoever first showed it narrowed can still show it as it was sold.
        Raises `ValueError` where there is none.
        """
        for caveat in caveats:
            condition, _, value = caveat.partition(b"=")
            if condition == self._valid_until:
                return int(value)
        raise ValueError("no caveat says how long these are valid")


def _understood(read: Callable[[str], Callers], value: bytes) -> Callers | None:
    try:
        return read(value.decode())
    except ValueError:
        return None


def _is_sublist(value: bytes, earlier: bytes | None) -> bool:
    items = value.split(b",")
    return b"" not in items and (earlier is None or set(items) <= set(earlier.split(b",")))
