"""The fuzz targets without a fuzzer: what was found once stays passed, and what is broken is noticed."""

import hmac
import json
import re
from collections.abc import Callable
from dataclasses import replace
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest

from l402_middleware.core import (
    auth_params,
    authorization,
    bech32,
    charge,
    credential,
    invoice,
    macaroon,
    offered,
    strict_json,
)
from l402_middleware.core.caveats import Caveats
from l402_middleware.core.errors import BadCredential
from l402_middleware.schemes import L402Scheme

from .targets import TARGETS, Target

targets = pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS.keys())


def stirred(target: Target, rounds: int) -> None:
    """Check so many inputs, each made from another one, as a fuzzer that learns nothing would."""
    random = Random(0)

    def mutate_bytes(part: bytes) -> bytes:
        changed = bytearray(part)
        at = random.randrange(len(part) + 1)
        changed[at : at + random.randrange(3)] = random.randbytes(random.randrange(3))
        return bytes(changed)

    inputs = target.corpus()
    for _ in range(rounds):
        given = random.choice(inputs)
        for _ in range(random.randrange(1, 4)):
            given = target.mutate(given, random, mutate_bytes)
        target.check(given[: target.max_bytes])


@targets
def test_the_corpus_passes(target: Target) -> None:
    """Case 14: every input that a long run found worth keeping, and every seed."""
    for given in target.corpus():
        target.check(given)


@targets
def test_mutants_of_the_corpus_pass(target: Target) -> None:
    """Cases 14, 26 to 36: a thousand inputs that are nearly valid."""
    stirred(target, 1000)


def accept_all(*_: object) -> bool:
    """A comparison that somebody forgot."""
    return True


PLANTED: dict[str, tuple[str, Callable[[pytest.MonkeyPatch], None]]] = {}


def planted(target: str) -> Callable[[Callable[[pytest.MonkeyPatch], None]], Callable[[pytest.MonkeyPatch], None]]:
    """Make a fault, that the target has to notice, a case of the test below."""

    def add(plant: Callable[[pytest.MonkeyPatch], None]) -> Callable[[pytest.MonkeyPatch], None]:
        PLANTED[plant.__name__.strip("_")] = (target, plant)
        return plant

    return add


@planted("authorization")
def _any_signature_verifies(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(macaroon, "is_signed_with", accept_all)


@planted("authorization")
def _any_preimage_pays(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(credential, "hmac", SimpleNamespace(digest=hmac.digest, compare_digest=accept_all))


@planted("authorization")
def _only_the_first_macaroon_is_looked_at(patch: pytest.MonkeyPatch) -> None:
    verify = credential.Issuer.verify
    patch.setattr(
        credential.Issuer,
        "verify",
        lambda self, shown, now: verify(self, replace(shown, macaroons=shown.macaroons[:1]), now),
    )


@planted("authorization")
def _the_remembered_do_not_expire(patch: pytest.MonkeyPatch) -> None:
    read = L402Scheme.read
    patch.setattr(L402Scheme, "read", lambda self, fields, now: read(self, fields, min(now, 1_700_000_000)))


@planted("authorization")
def _a_stray_character_is_passed_over(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(authorization, "decode_base64", lambda text: bytes(text, "utf-8"))


@planted("authorization")
def _the_expiry_is_not_looked_at(patch: pytest.MonkeyPatch) -> None:
    verify = credential.Issuer.verify
    patch.setattr(credential.Issuer, "verify", lambda self, shown, now: verify(self, shown, 0))


@planted("caveats")
def _a_later_time_is_taken(patch: pytest.MonkeyPatch) -> None:
    read = Caveats.read

    def last_counts(self: Caveats, caveats: Any, preimage: bytes) -> Any:
        caveats = list(caveats)
        terms = read(self, caveats, preimage)
        return replace(terms, valid_until=terms.valid_until + (len(caveats) > 4))

    patch.setattr(Caveats, "read", last_counts)


@planted("caveats")
def _what_is_refused_is_forgotten(patch: pytest.MonkeyPatch) -> None:
    read = Caveats.read

    def last_only(self: Caveats, caveats: Any, preimage: bytes) -> Any:
        caveats = list(caveats)
        return read(self, [*caveats[:3], *caveats[3:][-1:]], preimage)

    patch.setattr(Caveats, "read", last_only)


@planted("macaroon")
def _bytes_after_the_signature_are_read(patch: pytest.MonkeyPatch) -> None:
    read = macaroon.read

    def lenient(raw: bytes) -> macaroon.Macaroon:
        for end in range(len(raw), 0, -1):
            try:
                return read(raw[:end])
            except ValueError:
                continue
        raise ValueError

    patch.setattr("tests.fuzz.macaroon.read", lenient)


@planted("macaroon")
def _the_key_is_not_derived(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(macaroon, "_KEY_GENERATOR", b"another")


@planted("macaroon")
def _another_error_is_raised(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(macaroon, "_field", lambda raw, at: (raw[at : at + 1], at + [1, 2][raw[at]]))


@planted("invoice")
def _a_multiplier_is_wrong(patch: pytest.MonkeyPatch) -> None:
    patch.setitem(invoice._PICO, "n", 10**4)


@planted("invoice")
def _the_last_of_a_field_counts(patch: pytest.MonkeyPatch) -> None:
    fields = invoice._tagged_fields

    def reversed_fields(groups: bytes) -> dict[int, bytes]:
        found = fields(groups)
        second = dict(found)
        position = 0
        while position < len(groups):
            end = position + 3 + (groups[position + 1] << 5 | groups[position + 2])
            kind = bech32.ALPHABET[groups[position]]
            if kind not in invoice_hashes or end - position == 55:
                second[kind] = groups[position + 3 : end]
            position = end
        return second

    invoice_hashes = (invoice.PAYMENT_HASH, invoice.PAYMENT_SECRET, invoice.DESCRIPTION_HASH)
    patch.setattr(invoice, "_tagged_fields", reversed_fields)


@planted("invoice")
def _the_checksum_is_not_looked_at(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(bech32, "_polymod", lambda prefix, groups: 1)


@planted("payment_credential")
def _any_tag_is_right(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(charge, "hmac", SimpleNamespace(digest=hmac.digest, compare_digest=accept_all))


@planted("payment_credential")
def _the_expiry_is_not_signed(patch: pytest.MonkeyPatch) -> None:
    tag = charge._tag
    patch.setattr(charge, "_tag", lambda key, slots: tag(key, list(slots)[:-1]))


@planted("payment_credential")
def _json_is_read_leniently(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(strict_json, "read_object", json.loads)


@planted("challenge_header")
def _a_backslash_stays(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(auth_params, "_QUOTED_PAIR", re.compile("(?!)(.)"))


@planted("challenge_header")
def _any_token_goes_back(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(offered, "_is_plain", accept_all)


@pytest.mark.parametrize(("target", "plant"), PLANTED.values(), ids=PLANTED.keys())
def test_a_planted_fault_is_noticed(
    target: str, plant: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A target that passes whatever the code does would find nothing in a million inputs either."""
    plant(monkeypatch)
    with pytest.raises((AssertionError, AttributeError, IndexError, TypeError, BadCredential)):
        stirred(TARGETS[target], 20_000)
