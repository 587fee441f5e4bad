"""Part of the contract of a ledger: how units are held, settled, given back and taken over."""

from dataclasses import replace
from itertools import cycle

import pytest

from l402_middleware.ledgers.ledger import Busy, Held, Ledger, Outcome, Revoked, Spent
from l402_middleware.testing.ledger_fixtures import LedgerTests
from l402_middleware.testing.ledger_steps import ANSWER, LEASE, Take, claim, events, release, settle, sums


class Holding(LedgerTests):
    """How units are held, settled, given back and taken over."""

    @pytest.mark.parametrize("uses", [1, 2, 20])
    def test_each_use_is_held_and_settled_once(
        self, ledger: Ledger, another: Ledger, take: Take, now: float, uses: int
    ) -> None:
        """A payment for n uses is held n times, counting down, and then spent, through every handle."""
        first = claim(now, bought=uses)
        for left, store in zip(reversed(range(uses)), cycle([ledger, another]), strict=False):
            held = claim(now, bought=uses, like=first)
            assert take(store.hold(held)) == Held(left)
            assert take(settle(store, held)) is True
        for store in (ledger, another):
            assert take(store.hold(claim(now, bought=uses, like=first))) == Spent()

    def test_payments_do_not_touch_each_other(self, ledger: Ledger, take: Take, now: float) -> None:
        """Spending one payment leaves every other as it was."""
        one, two = claim(now), claim(now)
        assert take(ledger.hold(one)) == Held(0)
        assert take(settle(ledger, one)) is True
        assert take(ledger.hold(two)) == Held(0)
        assert take(settle(ledger, replace(one, payment_hash=two.payment_hash))) is False
        assert take(ledger.renew(one.payment_hash, two.hold_id, now + LEASE)) is False
        assert take(settle(ledger, two)) is True

    @pytest.mark.parametrize("uses", [1, 3])
    def test_a_use_that_is_held_is_busy_for_others(
        self, ledger: Ledger, another: Ledger, take: Take, now: float, uses: int
    ) -> None:
        """While every use that is left is held, a further claim is busy, and free again after a release."""
        claims = [claim(now, bought=uses)]
        claims += [claim(now, bought=uses, like=claims[0]) for _ in range(uses - 1)]
        assert [take(ledger.hold(each)) for each in claims] == [Held(left) for left in reversed(range(uses))]
        assert take(another.hold(claim(now, bought=uses, like=claims[0]))) == Busy()
        take(release(ledger, claims[-1]))
        assert take(another.hold(claim(now, bought=uses, like=claims[0]))) == Held(0)

    def test_settled_and_running_uses_both_count(self, ledger: Ledger, take: Take, now: float) -> None:
        """With one use of two delivered and the other held, the payment is busy; with both delivered, spent."""
        first = claim(now, bought=2)
        second, third = claim(now, bought=2, like=first), claim(now, bought=2, like=first)
        assert take(ledger.hold(first)) == Held(1)
        assert take(settle(ledger, first)) is True
        assert take(ledger.hold(second)) == Held(0)
        assert take(ledger.hold(third)) == Busy()
        assert take(settle(ledger, second)) is True
        assert take(ledger.hold(third)) == Spent()

    def test_a_released_hold_is_not_charged(self, ledger: Ledger, take: Take, now: float) -> None:
        """Case 49: after any number of failed attempts the same payment is still good for its one use."""
        held = claim(now)
        for _ in range(3):
            held = claim(now, like=held)
            assert take(ledger.hold(held)) == Held(0)
            take(release(ledger, held))
            assert take(settle(ledger, held)) is False
        held = claim(now, like=held)
        assert take(ledger.hold(held)) == Held(0)
        assert take(settle(ledger, held)) is True

    def test_what_is_not_held_can_not_be_settled(self, ledger: Ledger, take: Take, now: float) -> None:
        """Settling, renewing or releasing what was never held, or is settled, changes nothing."""
        unknown, held = claim(now), claim(now)
        assert take(ledger.hold(held)) == Held(0)
        assert take(settle(ledger, held)) is True
        for gone in (unknown, held, claim(now, like=held)):
            assert take(settle(ledger, gone, ANSWER)) is False
            assert take(ledger.renew(gone.payment_hash, gone.hold_id, now + LEASE)) is False
            take(release(ledger, gone))
        assert take(ledger.hold(claim(now, like=held))) == Spent()
        assert take(ledger.hold(unknown)) == Held(0)

    @pytest.mark.parametrize(
        ("after", "expected"),
        [(0.0, Busy()), (LEASE - 0.5, Busy()), (LEASE, Held(0)), (LEASE + 1, Held(0)), (-3600.0, Busy())],
    )
    def test_a_use_comes_back_when_its_lease_ends(
        self, ledger: Ledger, take: Take, now: float, after: float, expected: Outcome
    ) -> None:
        """Case 52: a use whose holder fell silent is free from the end of its lease on, and not before."""
        held = claim(now)
        assert take(ledger.hold(held)) == Held(0)
        assert take(ledger.hold(claim(now + after, like=held))) == expected

    def test_the_use_that_was_taken_over_is_lost_to_its_first_holder(
        self, ledger: Ledger, another: Ledger, take: Take, now: float
    ) -> None:
        """Case 52: the old holder's settle, renew and release say no and leave the new holder's use alone."""
        old = claim(now)
        new = claim(now + LEASE + 1, like=old)
        assert take(ledger.hold(old)) == Held(0)
        assert take(another.hold(new)) == Held(0)
        assert take(settle(ledger, old, ANSWER, after=LEASE + 2)) is False
        assert take(ledger.renew(old.payment_hash, old.hold_id, now + 3 * LEASE)) is False
        take(release(ledger, old))
        assert take(ledger.hold(claim(new.now + 1, like=old))) == Busy()
        assert take(settle(another, new)) is True
        assert take(ledger.hold(claim(new.now + 2, like=old))) == Spent()

    def test_a_hold_that_nobody_took_over_settles_late(self, ledger: Ledger, take: Take, now: float) -> None:
        """A handler that outlived its lease still delivers, where nobody else came for the use."""
        held = claim(now)
        assert take(ledger.hold(held)) == Held(0)
        assert take(settle(ledger, held, after=10 * LEASE)) is True
        assert take(ledger.hold(claim(now + 10 * LEASE, like=held))) == Spent()

    def test_takeovers_never_add_deliveries(self, ledger: Ledger, take: Take, now: float) -> None:
        """Of a bundle's ended and taken-over holds, no more settle than were bought."""
        old = [claim(now, bought=3)]
        old += [claim(now, bought=3, like=old[0]) for _ in range(2)]
        new = [claim(now + LEASE + 1, bought=3, like=old[0]) for _ in range(2)]
        assert [take(ledger.hold(each)) for each in old] == [Held(2), Held(1), Held(0)]
        assert [take(ledger.hold(each)) for each in new] == [Held(2), Held(1)]
        assert [take(settle(ledger, each)) for each in new] == [True, True]
        assert sum(take(settle(ledger, each, after=LEASE + 2)) for each in old) <= 1

    def test_a_renewed_lease_lasts(self, ledger: Ledger, another: Ledger, take: Take, now: float) -> None:
        """A renewed hold stays the holder's past its first lease, until the new end."""
        held = claim(now)
        assert take(ledger.hold(held)) == Held(0)
        assert take(ledger.renew(held.payment_hash, held.hold_id, now + 3 * LEASE)) is True
        assert take(another.hold(claim(now + 3 * LEASE - 1, like=held))) == Busy()
        assert take(another.hold(claim(now + 3 * LEASE, like=held))) == Held(0)
        assert take(ledger.renew(held.payment_hash, held.hold_id, now + 9 * LEASE)) is False

    def test_the_first_claim_says_how_many_uses_there_are(self, ledger: Ledger, take: Take, now: float) -> None:
        """A later claim cannot make a payment good for more uses than it was first held with."""
        held = claim(now)
        assert take(ledger.hold(held)) == Held(0)
        assert take(ledger.hold(claim(now, bought=20, like=held))) == Busy()
        assert take(settle(ledger, held)) is True
        assert take(ledger.hold(claim(now, bought=20, like=held))) == Spent()

    def test_a_pass_is_recorded_once_and_never_held(
        self, ledger: Ledger, another: Ledger, take: Take, now: float
    ) -> None:
        """A pass is `Held` without a count as often as it comes, is paid once, and has no hold to settle."""
        first = claim(now, bought=None)
        for seconds, store in zip(range(5), cycle([ledger, another]), strict=False):
            used = claim(now + seconds, bought=None, like=first)
            assert take(store.hold(used)) == Held(None, False, 0)
            assert take(store.renew(used.payment_hash, used.hold_id, now + LEASE)) is False
            assert take(settle(store, used, ANSWER)) is False
            take(release(store, used))
        assert events(take, ledger, first) == ["paid"]
        assert sums(take, ledger, first) == {"paid": 1}
        history = take(another.history(first.payment_hash))
        assert history is not None
        assert (history.bought, history.settled) == (None, 0)

    @pytest.mark.parametrize("uses", [2, None])
    def test_a_confirmation_is_remembered(
        self, ledger: Ledger, another: Ledger, take: Take, now: float, uses: int | None
    ) -> None:
        """Case 56: once the backend was asked, every later hold says so, through every handle; it counts once."""
        first = claim(now, bought=uses)
        assert take(ledger.hold(first)) == Held(uses and 1, False, int(uses is not None))
        take(ledger.confirm(first.payment_hash, now + 1))
        take(another.confirm(first.payment_hash, now + 2))
        assert take(another.hold(claim(now + 3, bought=uses, like=first))) == Held(
            uses and 0, True, int(uses is not None)
        )
        assert sums(take, ledger, first)["confirmed"] == 1
        assert events(take, ledger, first).count("confirmed") == 1

    def test_what_is_not_remembered_is_not_confirmed(self, ledger: Ledger, take: Take, now: float) -> None:
        """Confirming a payment that never came to the ledger changes and counts nothing."""
        held = claim(now)
        take(ledger.confirm(held.payment_hash, now))
        assert take(ledger.history(held.payment_hash)) is None
        assert take(ledger.hold(held)) == Held(0, False)
        assert sums(take, ledger, held) == {"paid": 1}

    @pytest.mark.parametrize("uses", [1, 20, None])
    def test_a_revoked_token_opens_nothing(
        self, ledger: Ledger, another: Ledger, take: Take, now: float, uses: int | None
    ) -> None:
        """Revoked before its first use or after it, a token stays so for every handle, also after closing."""
        new, used, other = claim(now, bought=uses), claim(now, bought=uses), claim(now, bought=uses)
        assert isinstance(take(ledger.hold(used)), Held)
        before = sums(take, ledger, used)
        for token in (new, used, used):
            take(ledger.revoke(token.token_id))
        ledger.close()
        for store in (another, ledger):
            for token in (new, used):
                again = claim(now + LEASE + 1, bought=uses, like=token)
                assert take(store.hold(again)) == Revoked()
                assert take(settle(store, again)) is False
            assert {new.token_id, used.token_id} <= take(store.revoked())
            assert other.token_id not in take(store.revoked())
        assert isinstance(take(ledger.hold(other)), Held)
        assert take(ledger.history(new.payment_hash)) is None
        assert sums(take, ledger, new) == {}
        assert sums(take, ledger, used) == before

    def test_a_revocation_spares_the_running_request_only(self, ledger: Ledger, take: Take, now: float) -> None:
        """What was held before the revocation is delivered; its kept answer is not given again."""
        held = claim(now)
        assert take(ledger.hold(held)) == Held(0)
        take(ledger.revoke(held.token_id))
        assert take(settle(ledger, held, ANSWER)) is True
        assert take(ledger.hold(claim(now + 2, like=held))) == Revoked()
        assert sums(take, ledger, held) == {"paid": 1, "delivered": 1}
