"""Nostr Wallet Connect (NIP-47) as a wallet that pays."""

from dataclasses import KW_ONLY, dataclass, field

from ...core.errors import ProviderError
from ...flow import Flow, do
from ...providers.nostr_wallet_connect import NostrWalletConnect, OnAsyncio, _NotFound
from ..wallet import PENDING, UNKNOWN, Outgoing
from .answers import outgoing


@dataclass
class NostrWalletConnectWallet:
    """A wallet by its connection string, `nostr+walletconnect://<public key>?relay=wss://...&secret=<hex>`.

    Give it a connection that may only `pay_invoice` and `lookup_invoice`, with a budget of its own: wallets offer that.
    The wallet bounds routing fees itself, the budget's `max_fee` does not reach it. `timeout` is in seconds, for each
    request, connecting included. Raises `ConfigurationError`, which never repeats the string, for what is no connection
    string, and without the extra `nwc`.
    """

    uri: str = field(repr=False)
    network: str = "bitcoin"
    _: KW_ONLY
    timeout: float = 60.0
    _connection: NostrWalletConnect = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        self._connection = NostrWalletConnect(self.uri, self.network, timeout=self.timeout)

    def pay(self, bolt11: str, payment_hash: bytes, max_fee_msat: int) -> Flow[Outgoing]:
        """`pay_invoice`."""
        wanted = self._connection._sdk.PayInvoiceRequest(id=None, invoice=bolt11, amount=None)
        paid = yield from do(OnAsyncio(lambda: self._connection._ask(lambda wallet: wallet.pay_invoice(wanted))))
        return outgoing("The wallet", "paid", paid.preimage, paid.fees_paid)

    def look_up(self, bolt11: str, payment_hash: bytes) -> Flow[Outgoing]:
        """`lookup_invoice`."""
        sdk = self._connection._sdk
        wanted = sdk.LookupInvoiceRequest(payment_hash=payment_hash.hex(), invoice=None)
        try:
            found = yield from do(OnAsyncio(lambda: self._connection._ask(lambda it: it.lookup_invoice(wanted))))
        except _NotFound:
            return UNKNOWN
        if found.payment_hash.lower() != payment_hash.hex():
            raise ProviderError("bad-answer", "the wallet answered about another payment than the one asked for")
        if found.transaction_type == sdk.TransactionType.INCOMING:
            return UNKNOWN
        if found.state == sdk.TransactionState.SETTLED or (found.state is None and found.settled_at is not None):
            return outgoing("The wallet", "paid", found.preimage, found.fees_paid)
        if found.state in (sdk.TransactionState.FAILED, sdk.TransactionState.EXPIRED):
            return outgoing("The wallet", "failed")
        return PENDING

    def close(self) -> None:
        """Leave the relay. A later flow opens it again."""
        self._connection.close()

    async def aclose(self) -> None:
        """Leave the relay. A later flow opens it again."""
        await self._connection.aclose()
