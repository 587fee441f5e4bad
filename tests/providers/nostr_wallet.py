"""A Nostr relay and a wallet that answers on it (NIP-47), on this machine, for as long as a test needs them."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeAlias

import nostr_sdk
from anyio.from_thread import start_blocking_portal

from l402_middleware.core.invoice import decode
from l402_middleware.core.keys import KeyRing, generate_key
from l402_middleware.core.money import Msat
from l402_middleware.flow import drive
from l402_middleware.providers import DevNode, InvoiceRequest

# What a wallet says, of a request and of the answer that would be right; `None` for silence, a text as it is.
Answer: TypeAlias = Callable[[dict[str, Any], dict[str, Any]], dict[str, Any] | str | None]

INFO, REQUEST, RESPONSE = 13194, 23194, 23195


class NostrWallet:
    """A wallet that makes `DevNode` invoices. `encryption` is what its info event says; `None` for one from before."""

    def __init__(self, port: int | None, encryption: str | None, max_connections: int | None) -> None:
        builder = nostr_sdk.LocalRelayBuilder()
        builder = builder.rate_limit(nostr_sdk.RateLimit(max_reqs=100_000, notes_per_minute=100_000))
        if max_connections is not None:
            builder = builder.max_connections(max_connections)
        self.relay = (builder if port is None else builder.port(port)).build()
        self.keys = nostr_sdk.Keys.generate()
        self.client_keys = nostr_sdk.Keys.generate()
        self.secret = self.client_keys.secret_key().to_hex()
        self._held: list[tuple[Any, ...]] = []
        self._hold = 0
        self._heard = 0
        self.request_tags: list[list[str]] = []
        self.answer: Answer = lambda request, right: right
        self.forge: str | None = None
        self._encryption = encryption
        self._paid: dict[str, bool] = {}
        self._node = DevNode()
        self._node.use_keys(KeyRing([generate_key()]))
        self.url = ""

    @property
    def uri(self) -> str:
        """What the wallet would show to be copied."""
        return (
            f"nostr+walletconnect://{self.keys.public_key().to_hex()}"
            f"?relay={self.url.replace('/', '%2F').replace(':', '%3A')}&secret={self.secret}"
        )

    def pay(self, bolt11: str) -> None:
        """Mark an invoice of this wallet's as paid."""
        payment_hash = decode(bolt11).payment_hash.hex()
        assert payment_hash in self._paid
        self._paid[payment_hash] = True

    def hold_until(self, requests: int) -> None:
        """Answer nothing until so many requests have come in, counted from the beginning; then, all of them."""
        self._hold = requests

    async def start(self) -> None:
        """Open the relay, and say on it what this wallet can do."""
        await self.relay.run()
        self.url = str(await self.relay.url())
        self._client = nostr_sdk.ClientBuilder().build()
        await self._client.add_relay(nostr_sdk.RelayUrl.parse(self.url))
        await self._client.connect(timedelta(seconds=5))
        info = nostr_sdk.EventBuilder(nostr_sdk.Kind(INFO), "make_invoice lookup_invoice")
        if self._encryption is not None:
            info = info.tags([nostr_sdk.Tag.parse(["encryption", self._encryption])])
        await self._client.send_event(info.finalize(self.keys))
        self._notifications = self._client.notifications()
        wanted = nostr_sdk.Filter().kind(nostr_sdk.Kind(REQUEST)).pubkey(self.keys.public_key())
        await self._client.subscribe(nostr_sdk.ReqTarget.auto([wanted]))

    async def serve(self) -> None:
        """Answer requests until the relay is gone."""
        while (note := await self._notifications.next()) is not None:
            if note.is_NEW_EVENT():
                await self._respond(note.event)

    async def stop(self) -> None:
        """Close the relay."""
        await self._client.shutdown()
        self.relay.shutdown()

    async def _respond(self, event: nostr_sdk.Event) -> None:
        tags = [tag.to_vec() for tag in event.tags()]
        self.request_tags += tags
        author, secret = event.author(), self.keys.secret_key()
        modern = ["encryption", "nip44_v2"] in tags
        decrypt = nostr_sdk.nip44_decrypt if modern else nostr_sdk.nip04_decrypt
        request = json.loads(decrypt(secret, author, event.content()))
        said = self.answer(request, self._right(request))
        if said is None:
            return
        text = said if isinstance(said, str) else json.dumps(said)
        if self.forge is not None:
            await self._send(event, nostr_sdk.Keys.generate(), self.forge, modern)
        self._heard += 1
        self._held.append((event, self.keys, text, modern))
        while self._heard >= self._hold and self._held:
            await self._send(*self._held.pop())

    async def _send(self, event: nostr_sdk.Event, keys: nostr_sdk.Keys, text: str, modern: bool) -> None:
        secret, author = keys.secret_key(), event.author()
        if modern:
            content = nostr_sdk.nip44_encrypt(secret, author, text, nostr_sdk.Nip44Version.V2)
        else:
            content = nostr_sdk.nip04_encrypt(secret, author, text)
        response = nostr_sdk.EventBuilder(nostr_sdk.Kind(RESPONSE), content)
        response = response.tags([nostr_sdk.Tag.public_key(author), nostr_sdk.Tag.event(event.id())])
        await self._client.send_event(response.finalize(keys))

    def _right(self, request: dict[str, Any]) -> dict[str, Any]:
        wanted = request["params"]
        answer: dict[str, Any] = {"result_type": request["method"], "error": None, "result": None}
        if request["method"] == "make_invoice":
            asked = InvoiceRequest(Msat(wanted["amount"]), wanted.get("description", ""), wanted["expiry"])
            made = drive(self._node.create_invoice(asked))
            assert made.payment_hash is not None
            self._paid[made.payment_hash.hex()] = False
            answer["result"] = self._transaction(made.payment_hash.hex(), wanted["amount"]) | {"invoice": made.bolt11}
        elif wanted["payment_hash"] in self._paid:
            answer["result"] = self._transaction(wanted["payment_hash"], 1000)
        else:
            answer["error"] = {"code": "NOT_FOUND", "message": "never heard of it"}
        return answer

    def _transaction(self, payment_hash: str, amount: int) -> dict[str, Any]:
        paid = self._paid[payment_hash]
        return {
            "type": "incoming",
            "state": "settled" if paid else "pending",
            "payment_hash": payment_hash,
            "amount": amount,
            "fees_paid": 0,
            "created_at": int(time.time()),
            "settled_at": int(time.time()) if paid else None,
        }


@contextmanager
def nostr_wallet(
    port: int | None = None,
    encryption: str | None = "nip44_v2 nip04",
    max_connections: int | None = None,
    like: NostrWallet | None = None,
) -> Iterator[NostrWallet]:
    """A wallet on a relay of its own, in a thread with its own event loop; `like` another, it has that one's key."""
    wallet = NostrWallet(port, encryption, max_connections)
    if like is not None:
        wallet.keys = like.keys
    with start_blocking_portal() as portal:
        portal.call(wallet.start)
        serving = portal.start_task_soon(wallet.serve)
        try:
            yield wallet
        finally:
            portal.call(wallet.stop)
            serving.cancel()
