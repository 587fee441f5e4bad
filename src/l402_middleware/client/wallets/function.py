"""Functions of the user's own as a wallet."""

from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeAlias

from ...core.errors import ProviderError
from ...flow import Call, Flow, Threads, do
from ...invoicing.provider import check_network
from ..errors import NotPaid
from ..wallet import FAILED, UNKNOWN, Outgoing, preimage_in

Pay: TypeAlias = Callable[[str], str | bytes | Awaitable[str | bytes]]
LookUp: TypeAlias = Callable[[str], Outgoing | Awaitable[Outgoing]]

_THREADS: Final = Threads(32)


class FunctionWallet:
    """A function that pays, as a wallet.

    `pay`, plain or async, gets a BOLT 11 invoice and returns the preimage, as 32 bytes or in hex. It must be as wallets
    are: given an invoice that it has paid already, it returns the same preimage and pays nothing. It raises `NotPaid`
    where nothing was paid and nothing will be; after anything else that it raises, nobody knows. `look_up` gets an
    invoice and returns an `Outgoing`; without it an interrupted payment is found out about by calling `pay` again.
    Raises `ConfigurationError` for a `network` that there is not.
    """

    def __init__(self, pay: Pay, look_up: LookUp | None = None, network: str = "bitcoin") -> None:
        check_network("FunctionWallet", network)
        self.network = network
        self._pay = pay
        self._look_up = look_up

    def pay(self, bolt11: str, payment_hash: bytes, max_fee_msat: int) -> Flow[Outgoing]:
        """What the function returns."""
        try:
            preimage: object = yield from do(Call[object](self._pay, bolt11, threads=_THREADS))
        except NotPaid:
            return FAILED
        except Exception as error:
            raise _fault("pay", error) from error
        found = preimage if isinstance(preimage, bytes) and len(preimage) == 32 else preimage_in(preimage)
        if found is None:
            raise ProviderError("bad-answer", "the function that pays returned no preimage")
        return Outgoing("paid", found)

    def look_up(self, bolt11: str, payment_hash: bytes) -> Flow[Outgoing]:
        """What the function returns; without one, nothing is known."""
        if self._look_up is None:
            return UNKNOWN
        try:
            outcome: Any = yield from do(Call[object](self._look_up, bolt11, threads=_THREADS))
        except Exception as error:
            raise _fault("look up", error) from error
        if not isinstance(outcome, Outgoing):
            raise ProviderError("bad-answer", "the function that looks payments up returned no Outgoing")
        return outcome

    def close(self) -> None:
        """Nothing to give up: a function has its own connections."""

    async def aclose(self) -> None:
        """Nothing to give up."""


def _fault(task: str, error: Exception) -> ProviderError:
    if isinstance(error, ProviderError):
        return error
    return ProviderError("bad-answer", f"the function that is to {task} raised {type(error).__name__}")
