"""The scripts of the Redis ledger, without a server."""

import re

import pytest

from l402_middleware.ledgers.redis_scripts import SCRIPTS


@pytest.mark.parametrize("verb", SCRIPTS)
def test_a_script_has_what_it_calls_and_nothing_else(verb: str) -> None:
    """A function that nobody calls is made anew in each step; one that is missing fails it."""
    text = SCRIPTS[verb].text
    defined = set(re.findall(r"^local function (\w+)\(", text, re.MULTILINE))
    called = set(re.findall(r"(?<![.:\w])(\w+)\(", re.sub(r"--.*|local function \w+", "", text)))
    known = {"unpack", "pairs", "ipairs", "tonumber", "function", "and", "or", "if"}
    assert called - known == defined
