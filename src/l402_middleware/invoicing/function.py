"""A function of the operator's own as a provider."""

from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

from ..core.errors import ProviderError
from ..flow import Call, Flow, Threads, do
from .provider import CreatedInvoice, InvoiceRequest, check_network

InvoiceFunction: TypeAlias = Callable[[InvoiceRequest], str | Awaitable[str]]

# A function that hangs must not hold up the application's own threads.
_THREADS: Final = Threads(32)


class FunctionProvider:
    """A function that makes invoices, as a provider.

    `function`, plain or async, gets an `InvoiceRequest` over whole sats and returns a BOLT 11 invoice. It raises
    `ProviderError` where it has none; whatever else it raises becomes one. Nobody can be asked whether a payment has
    arrived. Raises `ConfigurationError` for a `network` that there is not.
    """

    granularity_msat = 1000

    def __init__(self, function: InvoiceFunction, network: str = "bitcoin") -> None:
        check_network("FunctionProvider", network)
        self.network = network
        self._function = function

    def create_invoice(self, request: InvoiceRequest) -> Flow[CreatedInvoice]:
        """What the function returns. Raises its own `ProviderError`, and one for anything else that it raises."""
        try:
            bolt11 = yield from do(Call[object](self._function, request, threads=_THREADS))
        except ProviderError:
            raise
        except TimeoutError:
            raise ProviderError("timeout", "the provider function did not return in time") from None
        except Exception as error:
            raise ProviderError("bad-answer", f"the provider function raised {type(error).__name__}") from error
        if not isinstance(bolt11, str):
            raise ProviderError("bad-answer", f"the provider function returned {type(bolt11).__name__}, not an invoice")
        return CreatedInvoice(bolt11)

    def close(self) -> None:
        """Nothing to give up: a function has its own connections."""

    async def aclose(self) -> None:
        """Nothing to give up."""
