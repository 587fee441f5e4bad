"""Nostr Wallet Connect (NIP-47): invoices from any wallet that answers over a Nostr relay.

Relay, signatures and encryption (NIP-44, or NIP-04 where the wallet has only that) are `nostr-sdk`'s. It is async only,
but its connection belongs to no event loop: all threads and all loops of a process share one.
"""

import asyncio
import os
import re
import threading
from collections.abc import Awaitable, Callable
from dataclasses import KW_ONLY, dataclass, field
from datetime import timedelta
from types import ModuleType
from typing import Any, TypeVar

import anyio
import anyio.to_thread

from ..core.errors import ConfigurationError, ProviderError
from ..flow import Flow, Step, Threads, do, time_left
from ..invoicing.provider import CreatedInvoice, InvoiceRequest, check_network
from .answer import created
from .registry import BACKENDS

T = TypeVar("T")

# How many threads wait for the wallet on behalf of trio, on which nostr-sdk cannot be awaited.
_TRIO_THREADS = Threads(100)

# NIP-47's codes, as nostr-sdk spells them at the end of its message.
_REFUSED = re.compile(
    r"\[(RateLimited|NotImplemented|InsufficientBalance|PaymentFailed|NotFound|QuotaExceeded|Restricted|Unauthorized"
    r"|Internal|Other)\]'?$"
)
_NO_ANSWER = "response not received"

# nostr-sdk starts its threads at the first request of a process, and no child has them: the process that did.
_used_in: int | None = None


@dataclass(unsafe_hash=True)
class NostrWalletConnect:
    """A wallet by its connection string, `nostr+walletconnect://<public key>?relay=wss://...&secret=<hex>`.

    Give it a connection that may only `make_invoice` and `lookup_invoice`: wallets offer that, and then whoever finds
    the string cannot spend. Prices are rounded up to whole sats, because many wallets know no less. `timeout` is in
    seconds, for each request, connecting included.

    One connection serves all threads and event loops of a process. A forked child makes its own, but can do so only
    where its parent had not asked for an invoice yet (nostr-sdk's threads do not survive a fork).

    Raises `ConfigurationError`, which never repeats the string, for what is no connection string, and without the extra
    `nwc`.
    """

    uri: str
    network: str = "bitcoin"
    _: KW_ONLY
    timeout: float = 20.0
    granularity_msat: int = field(default=1000, init=False)
    _sdk: ModuleType = field(init=False, compare=False)
    _uri: Any = field(init=False, compare=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, compare=False)
    _wallet: Any = field(default=None, init=False, compare=False)

    def __post_init__(self) -> None:
        check_network("NostrWalletConnect", self.network)
        if isinstance(self.timeout, bool) or not isinstance(self.timeout, int | float) or not 0 < self.timeout < 86_400:
            raise ConfigurationError(f"timeout must be a number of seconds above 0, not {self.timeout!r}")
        self._sdk = BACKENDS["nostr+walletconnect"].required()
        try:
            self._uri = self._sdk.NostrWalletConnectUri.parse(self.uri)
        except (self._sdk.NostrSdkError, TypeError):
            raise ConfigurationError(
                "NostrWalletConnect: this is no connection string; copy the wallet's whole "
                "nostr+walletconnect://<public key>?relay=wss://...&secret=..."
            ) from None

    def __repr__(self) -> str:
        relays = ", ".join(str(relay) for relay in self._uri.relays())
        wallet = self._uri.public_key().to_hex()
        return f"NostrWalletConnect(wallet={wallet!r}, relay={relays!r}, network={self.network!r})"

    def create_invoice(self, request: InvoiceRequest) -> Flow[CreatedInvoice]:
        """`make_invoice`. The answer may hold the preimage too: nothing but the invoice leaves this function."""
        wanted = self._sdk.MakeInvoiceRequest(
            amount=request.amount.msat, description=request.memo, description_hash=None, expiry=request.expiry
        )
        answer = yield from do(OnAsyncio(lambda: self._ask(lambda wallet: wallet.make_invoice(wanted))))
        if answer.payment_hash is None:
            return CreatedInvoice(answer.invoice)
        return created("The wallet", answer.invoice, answer.payment_hash)

    def is_settled(self, payment_hash: bytes) -> Flow[bool]:
        """`lookup_invoice`: whether the wallet has received this payment; one it does not know, it has not."""
        wanted = self._sdk.LookupInvoiceRequest(payment_hash=payment_hash.hex(), invoice=None)
        try:
            answer = yield from do(OnAsyncio(lambda: self._ask(lambda wallet: wallet.lookup_invoice(wanted))))
        except _NotFound:
            return False
        if answer.payment_hash.lower() != payment_hash.hex():
            raise ProviderError("bad-answer", "the wallet answered about another payment than the one asked for")
        if answer.state is not None:
            return bool(answer.state == self._sdk.TransactionState.SETTLED)
        return answer.settled_at is not None  # a wallet from before there was a state

    def close(self) -> None:
        """Leave the relay: the connection is everybody's in this process. A later flow opens it again."""
        wallet = self._taken()
        if wallet is not None:
            OnAsyncio(wallet.client().shutdown).block()

    async def aclose(self) -> None:
        """Leave the relay: the connection is everybody's in this process. A later flow opens it again."""
        wallet = self._taken()
        if wallet is not None:
            await OnAsyncio(wallet.client().shutdown).wait()

    async def _ask(self, request: Callable[[Any], Awaitable[T]]) -> T:
        wallet = self._connected()
        seconds = time_left(self.timeout)
        try:
            async with asyncio.timeout(seconds):
                return await request(wallet)
        except TimeoutError:
            pass
        except self._sdk.NostrSdkError as error:
            # `from None` throughout: the message holds what the wallet said.
            if _NO_ANSWER not in str(error):
                raise _fault(str(error)) from None
        relays = (await wallet.client().relays()).values()
        if any(relay.status() == self._sdk.RelayStatus.CONNECTED for relay in relays):
            raise ProviderError("timeout", f"the wallet did not answer within {seconds:.3g} s; is it online?")
        # The next request connects at once, instead of when nostr-sdk would try again.
        self._taken(wallet)
        raise ProviderError("unreachable", "the wallet's Nostr relay cannot be reached; is it running?")

    def _connected(self) -> Any:
        global _used_in  # noqa: PLW0603 - as nostr-sdk's threads are the process's
        # Before the lock, which the parent may have held when it forked.
        if _used_in not in (None, os.getpid()):
            raise ProviderError(
                "unreachable",
                "this process was forked from one that already used Nostr Wallet Connect, which does not survive "
                "that: make the first invoice after the fork, or start workers by spawning",
            )
        _used_in = os.getpid()
        with self._lock:
            if self._wallet is None:
                # Its own clock is the longer one, so that it is always ours that ends a request.
                patience = timedelta(seconds=self.timeout + 5)
                self._wallet = self._sdk.NostrWalletConnectBuilder(self._uri).timeout(patience).build()
            return self._wallet

    def _taken(self, wallet: Any = None) -> Any:
        """The connection, which is now nobody's any more; with `wallet`, only if it is still that one."""
        with self._lock:
            if self._wallet is None or (wallet is not None and wallet is not self._wallet):
                return None
            taken, self._wallet = self._wallet, None
        return taken if _used_in == os.getpid() else None


class OnAsyncio(Step[T]):
    """An async function that needs asyncio, as a step: under trio, and blocking, it has an event loop of its own."""

    def __init__(self, function: Callable[[], Awaitable[T]]) -> None:
        self._function = function

    def block(self) -> T:
        return asyncio.run(_await(self._function))

    async def wait(self) -> T:
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return await anyio.to_thread.run_sync(self.block, abandon_on_cancel=True, limiter=_TRIO_THREADS.limiter())
        return await self._function()


class _NotFound(ProviderError):
    """The wallet knows no such invoice."""


def _fault(message: str) -> ProviderError:
    refused = _REFUSED.search(message)
    if refused is None:
        return ProviderError("bad-answer", "the wallet's answer cannot be read as NIP-47 has it")
    code = refused[1]
    if code == "NotFound":
        return _NotFound("rejected", "the wallet knows no such invoice")
    if code in ("Restricted", "Unauthorized"):
        return ProviderError(
            "unauthorized", f"the wallet refused ({code}): allow this connection make_invoice and lookup_invoice"
        )
    return ProviderError("rejected", f"the wallet refused ({code})")


async def _await(function: Callable[[], Awaitable[T]]) -> T:
    return await function()
