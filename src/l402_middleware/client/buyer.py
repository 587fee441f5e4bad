"""How an answer is bought: one flow for every HTTP client, blocking and awaiting.

The order is what keeps the money: look for a purchase that this request can use; ask; check the offer; write the
purchase down; pay; show the credential. Wherever that breaks off, the next one that asks the same goes on from there.
"""

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime
from typing import Any, Final, Literal, TypeAlias

from ..core.errors import ConfigurationError, ProviderError
from ..core.money import Msat
from ..core.offered import parse_challenges
from ..core.payment import read_receipt
from ..flow import Call, Threads, do
from .asked import Asked, is_private_line
from .budget import Budget
from .errors import NotPaid, PaidInVain, PaymentUncertain
from .purchase import Purchase
from .quote import Quote, quote
from .steps import Answer, Drain, Send, Sleep, Trade
from .store import AnotherBuys, MemoryStore
from .wallet import FAILED, PENDING, Outgoing, Wallet

Scheme: TypeAlias = Literal["l402", "payment"]
Confirm: TypeAlias = Callable[[Quote], bool | Awaitable[bool]]

# The store's commits are not for the event loop, and not for the application's own threads.
_THREADS: Final = Threads(8)

# How often a server without a Retry-After is asked again, and how long between.
_UNTOLD: Final = 3
_PAUSE: Final = 1.0

# So long after an invoice's end a payment that the wallet knows nothing of was never begun.
_GRACE: Final = 120

_FATES: Final = {"rejected": FAILED, "unauthorized": FAILED}


@dataclass(frozen=True, slots=True)
class Receipt:
    """What an answer was paid with.

    `payment_hash` is in hex, `amount` what the invoice asked for and `fee_msat` what routing cost. `is_new` says
    whether it was paid for this request; if not, something bought earlier was used. `server_receipt` is what the server
    says in `Payment-Receipt`, where it does.
    """

    payment_hash: str
    amount: Msat
    fee_msat: int
    scheme: Scheme
    is_new: bool
    server_receipt: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Done:
    """How a trade ended: what was paid for the last answer, if anything.

    Where there is an `end`, it has to be called with whether all of the answer's body arrived.
    """

    receipt: Receipt | None = None
    end: Callable[[bool], None] | None = None


class Buyer:
    """Buys answers with `wallet`, within `budget`; see `L402Auth`, whose parameters these are."""

    def __init__(
        self,
        wallet: Wallet,
        budget: Budget,
        store: MemoryStore | None = None,
        *,
        confirm: Confirm | None = None,
        schemes: tuple[Scheme, ...] = ("l402", "payment"),
        patience: float = 60.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        if not isinstance(budget, Budget):
            raise ConfigurationError("budget must be a Budget, such as Budget(50, per_day=1000)")
        if not schemes or set(schemes) - {"l402", "payment"}:
            raise ConfigurationError(f"schemes must be some of 'l402' and 'payment', not {schemes!r}")
        self.wallet = wallet
        self.budget = budget
        self.store = MemoryStore() if store is None else store
        self._confirm = confirm
        self._schemes = schemes
        self._patience = patience
        self._clock = clock

    def trade(self, asked: Asked) -> Trade[Done]:
        """Ask, and pay where that is asked for. The last answer that `Send` gave is the caller's.

        Raises `NotPaid`, `PaymentUncertain` and `PaidInVain`, which say what has become of the money.
        """
        mine: set[bytes] = set()
        done = Done()
        try:
            held: Purchase | None = yield from self._held(asked, mine)
            is_new = False
            while True:
                answer: Answer
                if held is None:
                    answer = yield Send()
                    if answer.status != 402:
                        return done
                else:
                    answer = yield from self._shown(held)
                    # Some servers say 401 of what is used up, and make no offer with it.
                    is_over = answer.status == 401 and held.state == "answered"
                    if answer.status != 402 and not is_over:
                        done = yield from self._answered(held, answer, is_new, mine)
                        return done
                    yield from self._turned_down(held, asked)
                    if is_over:
                        yield Drain()
                        held = None
                        continue
                bought = yield from self._bought(asked, answer, mine)
                if bought is None:
                    return done
                held, is_new = bought
        finally:
            if done.end is None:
                self.store.release(mine)

    def _held(self, asked: Asked, mine: set[bytes]) -> Trade[Purchase | None]:
        """A paid purchase that this request can use; of one that was interrupted it is found out what became of it."""
        until, pause = self._clock() + self._patience, 0.02
        while True:
            found: Purchase | AnotherBuys | None = yield from self._in_store("open", asked, self._clock(), mine)
            if isinstance(found, AnotherBuys):
                if self._clock() > until:
                    raise NotPaid("busy", f"another request is still buying what this one to {asked.origin} needs")
                yield from do(Sleep(pause))
                pause = min(2 * pause, 0.5)
            elif found is None or found.state != "paying":
                return found
            elif (paid := (yield from self._resumed(found))) is not None:
                return paid

    def _shown(self, purchase: Purchase) -> Trade[Answer]:
        """The answer to the credential, once the server is not busy with it any more, or patience is at its end."""
        until, untold = self._clock() + self._patience, 0
        while True:
            answer: Answer = yield Send(purchase.authorization())
            if answer.status not in (409, 503):
                return answer
            pause = _seconds(answer.retry_after, self._clock())
            if pause is None:
                pause, untold = _PAUSE, untold + 1
            if untold > _UNTOLD or self._clock() + pause > until:
                return answer
            yield Drain()
            yield from do(Sleep(pause))

    def _answered(self, purchase: Purchase, answer: Answer, is_new: bool, mine: set[bytes]) -> Trade[Done]:
        receipt = _receipt(purchase, answer, is_new)
        if answer.status >= 400:
            # Sellers do not charge for these; if this one did, the next try will tell.
            return Done(receipt)
        yield from self._in_store("answered", purchase.payment_hash)

        def end(complete: bool) -> None:
            if complete:
                self.store.delivered(purchase.payment_hash)
            self.store.release(mine)

        return Done(receipt, end)

    def _turned_down(self, purchase: Purchase, asked: Asked) -> Trade[None]:
        """A 402 for a credential: it is used up, or good for another request, or the server does not honour it."""
        if purchase.state == "answered":
            yield from self._in_store("over", purchase.payment_hash)
        elif purchase.digest == asked.digest:
            yield from self._in_store("refused", purchase.payment_hash)
            raise PaidInVain(
                purchase.payment_hash.hex(),
                f"{asked.origin} was paid {purchase.amount} for this request, and asks to be paid again",
            )

    def _bought(self, asked: Asked, answer: Answer, mine: set[bytes]) -> Trade[tuple[Purchase, bool] | None]:
        """Pay what a 402 asks for, and whether that was necessary; None where it asks for nothing that can be paid."""
        offers = [offer for offer in parse_challenges(answer.offers) if offer.scheme in self._schemes]
        if not offers:
            return None
        self._check_origin(asked, answer)
        body: bytes = yield Drain()
        wanted = self._chosen(asked, offers, body)
        purchase, is_confirmed = Purchase.of(asked, wanted, self._clock()), False
        while True:
            # Somebody else may be buying, or have bought meanwhile, what is good for this request too.
            ready = yield from self._held(asked, mine)
            if ready is not None:
                return ready, False
            if not is_confirmed and self._confirm is not None:
                is_confirmed = yield from do(Call[bool](self._confirm, wanted))
                if not is_confirmed:
                    raise NotPaid("declined", f"{wanted.amount} for {asked.origin} was declined")
            busy = yield from self._in_store("begin", purchase, self.budget, mine)
            if busy is None:
                break
        paid = yield from self._paid(purchase)
        if paid is None:
            raise NotPaid("payment-failed", f"the wallet did not pay {purchase.amount} to {asked.origin}")
        return paid, True

    def _check_origin(self, asked: Asked, answer: Answer) -> None:
        if answer.origin != asked.origin:
            raise NotPaid(
                "other-origin", f"{asked.origin} led to {answer.origin}, which asks to be paid: ask it itself"
            )
        if not is_private_line(asked.origin):
            raise NotPaid(
                "plain-http", f"{asked.origin} is not reached over TLS: whoever listens in could use what is paid"
            )
        self.budget.check_origin(asked.origin)

    def _chosen(self, asked: Asked, offers: list[Any], body: bytes) -> Quote:
        """The first offer that can be paid, the scheme that is liked best first; or what is wrong with the first."""
        fault: NotPaid | None = None
        for offer in sorted(offers, key=lambda each: self._schemes.index(each.scheme)):
            try:
                wanted = quote(asked.url, offer, self.wallet.network, self._clock(), body)
                self.budget.check_amount(wanted.amount)
            except NotPaid as error:
                fault = fault or error
            else:
                return wanted
        assert fault is not None
        raise fault

    def _resumed(self, purchase: Purchase) -> Trade[Purchase | None]:
        """What has become of a payment that was interrupted; one that was never begun is made now, if there is time."""
        outcome = yield from self._asked_wallet(purchase)
        if outcome.fate == "unknown":
            if purchase.expires_at + _GRACE < self._clock():
                outcome = FAILED
            else:
                # The very same invoice: whatever is still on its way to the wallet, it is paid once.
                return (yield from self._paid(purchase))
        return (yield from self._settled(purchase, outcome))

    def _paid(self, purchase: Purchase) -> Trade[Purchase | None]:
        """Pay. None where the wallet says that nothing was paid, and that nothing will be."""
        bolt11, payment_hash = purchase.offer.bolt11, purchase.payment_hash
        try:
            outcome = yield from self.wallet.pay(bolt11, payment_hash, self.budget.fee_for(purchase.amount))
        except ProviderError as error:
            outcome = yield from self._asked_wallet(purchase)
            if outcome.fate == "unknown":
                # It refused, and does not know the payment; or nobody knows what it heard.
                outcome = _FATES.get(error.kind, PENDING)
        return (yield from self._settled(purchase, outcome))

    def _settled(self, purchase: Purchase, outcome: Outgoing) -> Trade[Purchase | None]:
        until, pause = self._clock() + self._patience, 0.2
        while outcome.fate in ("pending", "unknown") and self._clock() < until:
            yield from do(Sleep(pause))
            pause = min(2 * pause, 5.0)
            outcome = yield from self._asked_wallet(purchase)
        if outcome.fate == "failed":
            yield from self._in_store("failed", purchase.payment_hash)
            return None
        if outcome.fate != "paid":
            raise _uncertain(purchase, "the wallet does not say yet whether it was made")
        if outcome.preimage is None or not outcome.proves(purchase.payment_hash):
            raise _uncertain(purchase, "the wallet says that it was made, and gives a preimage that is not its own")
        yield from self._in_store("paid", purchase.payment_hash, outcome.preimage, outcome.fee_msat)
        return replace(purchase, state="paid", preimage=outcome.preimage, fee_msat=outcome.fee_msat)

    def _asked_wallet(self, purchase: Purchase) -> Trade[Outgoing]:
        try:
            return (yield from self.wallet.look_up(purchase.offer.bolt11, purchase.payment_hash))
        except ProviderError as error:
            raise _uncertain(purchase, f"the wallet cannot be asked about it: {error}") from None

    def _in_store(self, method: str, *arguments: Any) -> Trade[Any]:
        return (yield from do(Call(getattr(self.store, method), *arguments, threads=_THREADS)))


def _uncertain(purchase: Purchase, why: str) -> PaymentUncertain:
    return PaymentUncertain(
        purchase.payment_hash.hex(), f"a payment of {purchase.amount} to {purchase.origin} was begun, and {why}"
    )


def _receipt(purchase: Purchase, answer: Answer, is_new: bool) -> Receipt:
    said = None
    if answer.receipt is not None:
        try:
            said = read_receipt(answer.receipt)
        except ValueError:
            said = None
    return Receipt(purchase.payment_hash.hex(), purchase.amount, purchase.fee_msat, purchase.offer.scheme, is_new, said)


def _seconds(retry_after: str | None, now: float) -> float | None:
    """RFC 9110, section 10.2.3: seconds, or a date; None for neither."""
    text = (retry_after or "").strip()
    if text.isascii() and text.isdigit() and len(text) < 10:
        return float(text)
    try:
        return max(parsedate_to_datetime(text).timestamp() - now, 0.0)
    except (TypeError, ValueError, OverflowError):
        return None
