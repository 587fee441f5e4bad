"""The development node's wallet, which pays a demo server's invoices for nothing."""

from dataclasses import dataclass, field

from ...core.errors import ConfigurationError, ProviderError
from ...flow import Flow
from ...outgoing.access import check_url
from ...outgoing.answer import members
from ...outgoing.transport import Transport
from ...providers.devnode import WALLET_PATH
from ..asked import is_private_line, origin_of
from ..wallet import UNKNOWN, Outgoing
from .answers import outgoing


@dataclass(frozen=True, slots=True)
class DevelopmentWallet:
    """The wallet of a server that sells with `DevNode`, at `url`, on this machine. It pays with no money.

    It keeps no record, and need not: paying twice costs as much as paying once. Raises `ConfigurationError` for an
    address that is not this machine's.
    """

    url: str
    network: str = field(default="regtest", init=False)
    _http: Transport = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        check_url("DevelopmentWallet", self.url, "http://127.0.0.1:8000")
        if not is_private_line(origin_of(self.url).replace("https:", "http:")):
            raise ConfigurationError("DevelopmentWallet: the development node answers its own machine only")
        object.__setattr__(self, "_http", Transport())

    def pay(self, bolt11: str, payment_hash: bytes, max_fee_msat: int) -> Flow[Outgoing]:
        """`GET /dev/wallet/pay`."""
        answer = yield from self._http.send("GET", f"{self.url.rstrip('/')}{WALLET_PATH}", params={"invoice": bolt11})
        if answer.status_code != 200:
            raise ProviderError("rejected", f"the development wallet did not pay (HTTP {answer.status_code})")
        return outgoing("The development wallet", "paid", members("The development wallet", answer).get("preimage"))

    def look_up(self, bolt11: str, payment_hash: bytes) -> Flow[Outgoing]:
        """Not known: it is paid again, then."""
        yield from ()
        return UNKNOWN

    def close(self) -> None:
        """Close the connections of blocking drivers."""
        self._http.close()

    async def aclose(self) -> None:
        """Close the connections of the running event loop."""
        await self._http.aclose()
