"""The reader of V2 macaroons and the verifier of their signatures, against pymacaroons."""

from collections.abc import Callable
from random import Random

from l402_middleware.core.macaroon import MAX_CAVEATS, is_signed_with, read

from . import oracle
from .minted import BAD, GOOD, attenuated, join, signature_of, split

_ROOT_KEY = GOOD[0].root_key
_SHORT_LENGTH = 1 << 14


def check(data: bytes) -> None:
    """The parts, or `ValueError`; what we read pymacaroons reads too, and calls the same tokens genuine."""
    theirs_signed = oracle.is_signed_with(_ROOT_KEY, data)
    try:
        parts = read(data)
    except ValueError:
        assert not theirs_signed or not _is_plain(data), "a plain token that pymacaroons verifies is not read"
        return
    location = parts.location if data[1] == 1 else None
    assert join(location, parts.identifier, parts.caveats, parts.signature) == data, "read and written is another"
    signed = is_signed_with(_ROOT_KEY, parts)
    assert signed == (parts.signature == signature_of(_ROOT_KEY, parts.identifier, parts.caveats))
    if not oracle.is_text(parts.location, *parts.caveats):
        return
    assert theirs_signed == signed, "pymacaroons disagrees about the signature"
    if (theirs := oracle.read(data)) is not None:
        assert theirs.identifier_bytes == parts.identifier
        assert tuple(caveat.caveat_id_bytes for caveat in theirs.caveats) == parts.caveats
        assert bytes.fromhex(theirs.signature) == parts.signature


def _is_plain(data: bytes) -> bool:
    """Whether it is spelled as `join` spells it, within the limits that we chose."""
    try:
        parts = split(data)
    except ValueError:
        return False
    short = all(len(part or b"") < _SHORT_LENGTH for part in (parts[0], parts[1], *parts[2]))
    return join(*parts) == data and len(parts[2]) <= MAX_CAVEATS and short


def seeds() -> list[bytes]:
    """Tokens that were sold, and one with as many caveats as are read."""
    raw = GOOD[0].raw
    return [*(sale.raw for sale in GOOD + BAD), attenuated(raw, *[b"a=b"] * (MAX_CAVEATS - 3))]


def mutate(data: bytes, random: Random, mutate_bytes: Callable[[bytes], bytes]) -> bytes:
    """What `altered` makes, more often than not signed with a root key that no client has."""
    changed = altered(data, random, mutate_bytes)
    try:
        location, identifier, caveats, _ = split(changed)
    except ValueError:
        return changed
    if random.random() < 0.4:
        return changed
    root_key = random.choice([_ROOT_KEY, _ROOT_KEY, GOOD[1].root_key])
    return join(location, identifier, caveats, signature_of(root_key, identifier, caveats))


def altered(data: bytes, random: Random, mutate_bytes: Callable[[bytes], bytes]) -> bytes:
    """Other bytes, or other parts: all that can be done without a root key."""
    try:
        location, identifier, caveats, signature = split(data)
    except ValueError:
        return mutate_bytes(data) if random.random() < 0.5 else random.choice(GOOD + BAD).raw
    conditions = list(caveats)
    match random.randrange(9):
        case 0:
            return mutate_bytes(data)
        case 1:
            location = random.choice([None, b"", b"l402", b"shop", mutate_bytes(location or b"l402")])
        case 2:
            identifier = random.choice([mutate_bytes(identifier), split(random.choice(GOOD).raw)[1]])
        case 3 if conditions:
            at = random.randrange(len(conditions))
            conditions[at] = mutate_bytes(conditions[at])
        case 4 if conditions:
            conditions.pop(random.randrange(len(conditions)))
        case 5:
            conditions.insert(random.randrange(len(conditions) + 1), mutate_bytes(b"holder=alice"))
        case 6:
            random.shuffle(conditions)
        case 7:
            return attenuated(data, mutate_bytes(b"holder=alice"))
        case _:
            signature = mutate_bytes(signature)
    return join(location, identifier, conditions, signature)
