"""The error tree: one root, stable codes, and messages for people that carry no secret."""

import inspect
import pickle
import typing

import pytest

import l402_middleware
from l402_middleware.core import errors
from l402_middleware.core.errors import (
    BadCredential,
    ConfigurationError,
    CredentialCode,
    InvalidInvoice,
    L402Error,
    LedgerError,
    ProviderError,
    RateError,
    Refusal,
)

CODES: tuple[CredentialCode, ...] = typing.get_args(CredentialCode)
EXAMPLES: list[L402Error] = [
    ConfigurationError("a"),
    BadCredential("expired"),
    Refusal(404, "not-found", "There is none."),
    InvalidInvoice("b"),
    ProviderError("timeout", "c"),
    LedgerError("d"),
    RateError("e"),
]


def test_every_error_is_in_the_tree() -> None:
    """Every class of the module descends from `L402Error`, directly, and has an example here."""
    classes = {
        value for value in vars(errors).values() if inspect.isclass(value) and value.__module__ == errors.__name__
    }
    assert {type(example) for example in EXAMPLES} | {L402Error} == classes
    assert all(type(example).__bases__ == (L402Error,) for example in EXAMPLES)


def test_none_is_caught_by_accident() -> None:
    """No error is a `ValueError` or an `OSError` too, which some `except` of a caller would swallow."""
    assert L402Error.__bases__ == (Exception,)


@pytest.mark.parametrize("code", CODES)
def test_a_bad_credential_says_why(code: CredentialCode) -> None:
    """Each code has a sentence of its own for people, and keeps its code for programs."""
    error = BadCredential(code)
    assert error.code == code
    assert str(error).endswith(".")
    assert [str(BadCredential(other)) for other in CODES].count(str(error)) == 1


def test_the_codes_are_stable() -> None:
    """Clients branch on them: a code is added, never renamed."""
    assert set(CODES) >= {
        "malformed-credential", "invalid-credential", "invalid-preimage", "expired", "wrong-service",
        "wrong-endpoint", "wrong-request", "already-used",
    }  # fmt: skip


@pytest.mark.parametrize("status", [400, 403, 404, 413, 415, 422, 429, 451, 499, 503])
def test_a_refusal_is_a_no(status: int) -> None:
    """Any 4xx but the paywall's own, and 503, with what goes into the body."""
    error = Refusal(status, "too-long", "The text is too long.")
    assert (error.status, error.code, error.title) == (status, "too-long", "The text is too long.")
    assert str(error) == "The text is too long."


@pytest.mark.parametrize("status", [100, 200, 204, 302, 399, 401, 402, 500, 502, 504, 0, -1])
def test_a_refusal_is_never_a_yes(status: int) -> None:
    """A price function cannot answer 2xx or 3xx, nor take the paywall's own 401 and 402."""
    with pytest.raises(ConfigurationError, match=rf"Refusal\(status={status}\)"):
        Refusal(status, "a", "b")


def test_a_refusal_comes_back_from_another_process() -> None:
    """A price that is computed in a process pool may refuse: the error is unpickled whole."""
    sent = Refusal(422, "too-long", "The text is too long.")
    assert sent.args == (422, "too-long", "The text is too long.", None)
    error = pickle.loads(pickle.dumps(sent))
    assert (error.status, error.code, str(error)) == (422, "too-long", "The text is too long.")
    assert error.retry_after is None
    later = Refusal(503, "full", "There is no room.", 5)
    assert (later.args[3], later.retry_after, pickle.loads(pickle.dumps(later)).retry_after) == (5, 5, 5)


def test_a_provider_error_keeps_its_kind() -> None:
    """For programs; the message is for the operator."""
    error = ProviderError("timeout", "LNbits did not answer within 10 s")
    assert (error.kind, str(error)) == ("timeout", "LNbits did not answer within 10 s")


def test_public_names_are_what_the_package_says() -> None:
    """`__all__` is sorted, without doubles, and names exactly what the package shows, each of which is there."""
    names = l402_middleware.__all__
    assert list(names) == sorted(set(names))
    assert dir(l402_middleware) == list(names)
    assert all(hasattr(l402_middleware, name) for name in names)


def test_every_error_that_a_user_catches_is_public() -> None:
    """All of the tree but `InvalidInvoice`, which no function of the package's surface raises."""
    assert {type(example).__name__ for example in EXAMPLES} - {"InvalidInvoice"} <= set(l402_middleware.__all__)
