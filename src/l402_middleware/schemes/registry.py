"""The payment schemes there are, and the choice that an operator makes of them."""

from collections.abc import Callable, Iterable

from ..core.errors import ConfigurationError
from .l402 import L402Scheme
from .payment import PaymentScheme
from .scheme import Scheme, SchemeSettings

SCHEMES: dict[str, Callable[[SchemeSettings], Scheme]] = {
    L402Scheme.name: L402Scheme,
    PaymentScheme.name: PaymentScheme,
}
"""Every scheme there is, under the name by which `Paywall(schemes=...)` chooses it."""


def names_in_order(names: Iterable[str]) -> tuple[str, ...]:
    """The chosen schemes' names as their challenges stand in a 402: L402 before all others, these as they were given.

    Five L402 clients read the first line only, and one of them pays for ever where that is another scheme's. Raises
    `ConfigurationError` for a name that is unknown or there twice, and for none at all.
    """
    given = () if isinstance(names, str | bytes) or not isinstance(names, Iterable) else tuple(names)
    known = ", ".join(repr(name) for name in SCHEMES)
    if not given:
        raise ConfigurationError(f'schemes must be a list of names such as ["l402"], not {names!r}; there is {known}')
    for name in given:
        if name not in SCHEMES:
            raise ConfigurationError(f"schemes: there is no {name!r}, only {known}")
    if len(set(given)) < len(given):
        raise ConfigurationError(f"schemes: each one once, not {names!r}")
    return tuple(sorted(given, key=lambda name: name != "l402"))
