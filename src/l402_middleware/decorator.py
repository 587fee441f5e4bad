"""What `l402_required(price=...)` gives: the decorator, that notices where it is taken for what it decorates."""

from collections.abc import Callable
from typing import Any, NoReturn, TypeVar

from .core.errors import ConfigurationError
from .paywall.offer import Offer

Endpoint = TypeVar("Endpoint")

_UNCALLED = "@l402_required without a price: write @l402_required(price=...)"


class PriceDecorator:
    """Decorates an endpoint with a price.

    Written without its parentheses, `@l402_required` takes the endpoint for a price function, and leaves this in the
    endpoint's place. A router asks for its name or its signature then, a class gives it a name, and each of these
    raises `ConfigurationError`.
    """

    def __init__(self, offer: Offer, decorate: Callable[[Any], Any]) -> None:
        self._may_be_uncalled = callable(offer.price)
        self._decorate = decorate

    def __call__(self, endpoint: Endpoint) -> Endpoint:
        if not callable(endpoint):
            raise ConfigurationError(_UNCALLED)
        decorated: Endpoint = self._decorate(endpoint)
        return decorated

    def __set_name__(self, owner: type, name: str) -> None:
        if self._may_be_uncalled:
            raise ConfigurationError(_UNCALLED)

    @property
    def __name__(self) -> NoReturn:
        self._refuse("__name__")

    @property
    def __signature__(self) -> NoReturn:
        self._refuse("__signature__")

    def _refuse(self, wanted: str) -> NoReturn:
        if self._may_be_uncalled:
            raise ConfigurationError(_UNCALLED)
        raise AttributeError(wanted)
