"""The limit on unpaid challenges."""

import time
from collections.abc import Iterator

from ..paywall.limits import ChallengeLimit
from .diagnosis import Diagnosis, Examination
from .redaction import place


def limit_counts(examination: Examination) -> Iterator[Diagnosis]:
    """There is a limit on unpaid challenges, it can be read, and what keeps its counts answers."""
    rate, storage = (
        examination.settings.get("L402_CHALLENGE_LIMIT"),
        examination.settings.get("L402_LIMIT_STORAGE") or None,
    )
    if not rate:
        yield Diagnosis(
            "limit",
            "warning",
            "unpaid requests are not limited: one caller may have any number of invoices made",
            "set L402_CHALLENGE_LIMIT, such as 60/minute, and behind a proxy L402_TRUSTED_PROXIES",
        )
        return
    limit = ChallengeLimit(rate, storage, "l402-doctor", time.time)
    if not limit.is_well():
        yield Diagnosis(
            "limit",
            "failed",
            f"the store {place(storage or '')} does not answer, so each process counts for itself",
            "start it, or correct L402_LIMIT_STORAGE",
        )
        return
    counted = f"in {place(storage)}, for all processes that name it" if storage else "by each process for itself"
    yield Diagnosis("limit", "ok", f"{rate} unpaid challenges for each peer, counted {counted}")
    if not examination.settings.get("L402_TRUSTED_PROXIES"):
        yield Diagnosis(
            "limit",
            "ok",
            "a peer is who connects: a proxy in front belongs into L402_TRUSTED_PROXIES, or all callers are one",
        )
