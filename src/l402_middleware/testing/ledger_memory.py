"""Part of the contract of a ledger: how long payments are remembered, and to whom an answer is given again."""

import os
import time
from dataclasses import replace

import pytest

from l402_middleware.ledgers.ledger import Busy, Held, Kept, Ledger, Outcome, Spent
from l402_middleware.testing.ledger_fixtures import LedgerTests
from l402_middleware.testing.ledger_steps import ANSWER, LEASE, LIFE, REPLAY, Take, claim, release, settle


class Remembering(LedgerTests):
    """How long payments and answers are remembered, and to whom an answer is given again."""

    @pytest.mark.parametrize(
        ("after", "request_digest", "expected"),
        [
            (1.0, b"\x01" * 32, Kept(ANSWER)),
            (REPLAY, b"\x01" * 32, Kept(ANSWER)),
            (REPLAY + 1, b"\x01" * 32, Spent()),
            (REPLAY + 100, b"\x01" * 32, Spent()),
            (1.0, b"\x02" * 32, Spent()),
            (REPLAY + 1, b"\x02" * 32, Spent()),
        ],
    )
    def test_an_answer_is_given_again_to_the_same_request_for_a_time(
        self, ledger: Ledger, take: Take, after: float, request_digest: bytes, expected: Outcome
    ) -> None:
        """Cases 45 and 54: the answer comes back whole, only to that request, only until then."""
        held = claim(time.time())
        assert take(ledger.hold(held)) == Held(0)
        assert take(settle(ledger, held, ANSWER)) is True
        again = claim(held.now + after, like=held, request=request_digest)
        for _ in range(2):
            assert take(ledger.hold(again)) == expected

    def test_an_answer_is_given_again_through_every_handle(
        self, ledger: Ledger, another: Ledger, take: Take, now: float
    ) -> None:
        """Case 54: a repetition that another worker receives gets the kept answer too."""
        held = claim(now)
        assert take(ledger.hold(held)) == Held(0)
        assert take(settle(ledger, held, ANSWER)) is True
        assert take(another.hold(claim(now + 2, like=held))) == Kept(ANSWER)

    @pytest.mark.parametrize("size", [0, 1, 1 << 20])
    def test_a_kept_answer_may_be_large(self, ledger: Ledger, take: Take, now: float, size: int) -> None:
        """Case 54: answers of nothing, of one byte and of 1 MiB come back byte for byte."""
        held, answer = claim(now), os.urandom(size)
        assert take(ledger.hold(held)) == Held(0)
        assert take(settle(ledger, held, answer)) is True
        assert take(ledger.hold(claim(now + 2, like=held))) == Kept(answer)

    def test_an_answer_belongs_to_the_request_of_its_hold(self, ledger: Ledger, take: Take, now: float) -> None:
        """Case 54: the answer of the attempt that was delivered is kept, not for an earlier attempt's request."""
        failed = claim(now, request=b"\x02" * 32)
        delivered = claim(now, like=failed)
        assert take(ledger.hold(failed)) == Held(0)
        take(release(ledger, failed))
        assert take(ledger.hold(delivered)) == Held(0)
        assert take(settle(ledger, delivered, ANSWER)) is True
        assert take(ledger.hold(claim(now, like=failed, request=b"\x02" * 32))) == Spent()
        assert take(ledger.hold(claim(now, like=failed))) == Kept(ANSWER)

    def test_a_running_request_is_busy_for_its_own_repetition(self, ledger: Ledger, take: Take, now: float) -> None:
        """Case 54: the same request again while the first one runs is busy, never a second delivery."""
        held = claim(now)
        assert take(ledger.hold(held)) == Held(0)
        assert take(ledger.hold(claim(now, like=held))) == Busy()

    @pytest.mark.parametrize("after", [-3600.0, 0.0, LIFE - 1])
    def test_a_spent_payment_is_remembered(self, ledger: Ledger, take: Take, now: float, after: float) -> None:
        """Case 53: until `forget_at` a spent payment is refused, also after the clock moved back one hour."""
        held = claim(now)
        assert take(ledger.hold(held)) == Held(0)
        assert take(settle(ledger, held)) is True
        for _ in range(20):  # traffic at that time, for a ledger that prunes as it goes
            take(ledger.hold(claim(now + after)))
        assert take(ledger.hold(claim(now + after, like=held))) == Spent()

    @pytest.mark.parametrize("lives", [(LIFE, 2 * LIFE), (2 * LIFE, LIFE), (LIFE, 2 * LIFE, LIFE)])
    def test_the_latest_forget_at_counts(
        self, ledger: Ledger, take: Take, now: float, lives: tuple[float, ...]
    ) -> None:
        """Case 53: of several claims on a payment, the one that wants it remembered longest is obeyed."""
        first, *others = lives
        held = replace(claim(now), forget_at=now + first)
        assert take(ledger.hold(held)) == Held(0)
        assert take(settle(ledger, held)) is True
        for life in others:
            assert take(ledger.hold(replace(claim(now, like=held), forget_at=now + life))) == Spent()
        late = now + 2 * LIFE - 1
        for _ in range(20):
            take(ledger.hold(claim(late)))
        assert take(ledger.hold(claim(late, like=held))) == Spent()

    def test_a_running_request_outlives_forget_at(self, ledger: Ledger, take: Take, now: float) -> None:
        """A payment that a renewed lease still holds is not forgotten under the running request."""
        held = claim(now)
        late = now + LIFE + 10
        assert take(ledger.hold(held)) == Held(0)
        assert take(ledger.renew(held.payment_hash, held.hold_id, late + LEASE)) is True
        for _ in range(20):
            take(ledger.hold(claim(late)))
        assert take(settle(ledger, held, after=LIFE + 11)) is True
