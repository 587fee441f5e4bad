"""The cases that a paywall must survive, and the tests that name them: the table of docs/security.md.

`python -m tests.docs.cases` writes it anew.
"""

import ast
import re
from collections.abc import Iterator
from functools import cache

from .markdown import DOCS, ROOT

PAGE = DOCS / "security.md"
BEGIN, END = "<!-- the table begins -->\n", "<!-- the table ends -->\n"

WHERE = ("tests", "src/l402_middleware/testing")

# Where cases are named to explain the table.
HERE = "tests/docs/"

# Number: what happens, and what must come of it. A test names its cases at the start of its docstring.
CASES = {
    1: ("no `Authorization`", "402"),
    2: ("the scheme in any case, several spaces, tabs, no token", "read; without a token 402"),
    3: ("the old scheme `LSAT`", "as `L402`"),
    4: ("one credential under both schemes, in two lines or one", "200, one use"),
    5: ("two good credentials", "the first one is used, one use"),
    6: ("`Basic` beside a good credential", "200"),
    7: ("`Bearer` alone", "402; its value in no log"),
    8: ("several macaroons in one credential", "all must be ours, and one sale"),
    9: ("base64 in any alphabet, with padding or not", "read; trailing bits that are not zero 402"),
    10: ("CR, LF, NUL, non-ASCII in a token", "402, or the server's 400; never 500"),
    11: ("a preimage in capitals; of 63 or 65 digits; with `0x`", "read; 402"),
    12: ("no colon, two, one at the end", "402 `malformed-credential`"),
    13: ("a credential of 4 KiB; over 16 KiB", "read; refused by its length"),
    14: ("any bytes in the field", "credentials or `BadCredential`, in linear time"),
    15: ("Werkzeug's reading of `Authorization`", "never used: padding becomes a parameter there"),
    16: ("the bytes of the challenge", "equal to a vector; known clients read them"),
    17: ("quotes, control characters, UTF-8 in what is configured", "escaped, or an error at start-up"),
    18: ("the challenge's field line", "one line, the first"),
    21: ("an invoice over another amount, hash or network, or expired", "503, not sent"),
    22: ("each 402", "`no-store`, no `ETag`, no `Set-Cookie`"),
    23: ("HEAD, unpaid and paid", "GET's headers, no body; never at the cost of the body"),
    24: ("an unpaid POST with an invalid body", "402 before 415 and 422; body not read at a fixed price"),
    25: ("`Expect: 100-continue`, unpaid", "402; the body is not asked for where the server leaves that open"),
    26: ("any bit of the macaroon flipped", "402"),
    27: ("a caveat removed, moved, doubled", "402; the same again is good"),
    28: ("an earlier or a later end added", "narrows; 402"),
    29: ("a wider service added", "402"),
    30: ("ends that are no plain integers; the second itself", "402; over"),
    31: ("the `preimage` caveat that some clients add", "good where it is the preimage"),
    32: ("an unknown caveat; one in our own name space", "skipped or refused as configured; 402"),
    33: ("caveats without `=`, empty, binary, 64 KiB", "402 or skipped, never 500"),
    34: ("a third-party caveat", "402"),
    35: ("V1, truncated, trailing bytes", "402"),
    36: ("another version or length of the identifier", "402"),
    37: ("keys are rotated", "good while its key is in the ring"),
    38: ("comparing a signature", "constant time, after all caveats"),
    39: ("a token of another service", "402"),
    40: ("vectors of go-macaroon and Aperture", "the same bytes"),
    41: ("another preimage", "402"),
    42: ("an all-zero preimage", "402"),
    43: ("the token of a cheap route at a dear one", "402"),
    44: ("the price rises after the purchase", "the quote holds"),
    45: ("a single use, twice", "the kept answer; to another request 402 `already-used`"),
    46: ("a hundred requests at once, one use", "the handler runs once"),
    47: ("a hundred requests at once, twenty uses", "twenty answers"),
    48: ("the ledger fails or hangs", "503, no handler, no invoice"),
    49: ("the handler raises or answers 4xx or 5xx", "not charged"),
    50: ("the handler answers 2xx or 3xx", "charged"),
    51: ("the client leaves; the handler raises late", "charged and given again; released"),
    52: ("the worker is killed", "good again after the lease, once"),
    53: ("old records, a clock that is moved back", "forgotten after the credential's life, not before"),
    54: ("the same request again; another; while it runs", "the kept answer; 402; 409"),
    55: ("an invoice that was paid after its end", "good"),
    56: ("a preimage before its payment is final", "409 with `verify_settlement`, not used up"),
    57: ("amounts of 0, negative, float, bool, too many", "an error at start-up"),
    58: ("each spelling of a path that slips past path rules", "the handler only with payment"),
    59: ("`/paid%0a` on Starlette", "402"),
    60: ("`//paid`, `/%2Fpaid` on Flask", "402"),
    61: ("`Host: a/free?x=`", "402"),
    62: ("mounts, `root_path`, `SCRIPT_NAME`", "402"),
    63: ("a WebSocket", "refused before it is accepted"),
    64: ("HEAD, unknown methods, method overrides", "priced"),
    65: ("OPTIONS", "never the handler"),
    66: ("decorator order, class-based views, blueprints, async views", "priced, or named by the audit"),
    67: ("a redirect to the other trailing slash", "free; its target is priced"),
    68: ("error handlers, static files, unknown paths", "priced where the whole application is"),
    69: ("request headers that switch other gates off", "no effect"),
    70: ("an exception inside the gate", "500 or 503, never the handler"),
    71: ("the middleware twice; a priced route in a priced application", "one charge, the route's own"),
    72: ("the payment in a free route", "None"),
    73: ("lifespan, unknown scopes", "passed on"),
    74: ("a streamed request body", "the handler gets each piece"),
    75: ("a body that is read for the price", "given again, bounded"),
    76: ("streams, events, trailers, sendfile", "passed on untouched"),
    77: ("the client leaves while its invoice is made", "nothing left over"),
    78: ("cancelled while it claims", "held and known, or not held"),
    79: ("header names in mixed case", "found"),
    80: ("an answer's own `Cache-Control`", "kept, and private"),
    81: ("`wsgiref.validate` around and inside", "clean"),
    82: ("generators, `write()`, `exc_info`, `close()`", "each called once"),
    83: ("latin-1 headers, UTF-8 paths", "no error"),
    84: ("a fork after set-up", "works in each worker, or says why not"),
    85: ("a chunked body", "bound: read to its end, or 411; else left alone"),
    86: ("the size of a minted credential", "below gunicorn's limit for a field"),
    87: ("forwarding headers of a stranger", "ignored"),
    88: ("forwarding headers of a trusted proxy, several hops", "the rightmost untrusted address"),
    89: ("`X_Forwarded_For`", "never trusted"),
    90: ("a shared cache", "gives no paid answer to anybody else"),
    91: ("conditional and range requests, unpaid", "402"),
    92: ("a browser's script on another origin", "can read the challenge where CORS is configured"),
    93: ("plain HTTP in production", "a warning"),
    94: ("the address bar of a browser", "no login dialogue: `Basic` is never asked for"),
    95: ("each failure of a node", "503 of its kind, without secrets"),
    96: ("a node that redirects", "not followed"),
    97: ("a node that is down", "credentials stay good"),
    98: ("a slow node and a flood", "bounded, and the event loop runs"),
    99: ("an LNURL service that lies", "refused; no private address is reached"),
    100: ("a memo of any length and kind", "cut at a character's boundary"),
    101: ("the wire format of the Payment scheme", "equal to the vectors of another server"),
    102: ("a Payment credential with any echoed parameter changed, removed or later", "402"),
    103: ("a realm and a method that joined by a bar are another pair", "402"),
    104: ("a Payment credential on another route, or for another request where bound", "402"),
    105: ("a Payment credential of another method or intent", "400"),
    106: ("two Payment credentials", "400"),
    107: ("one payment, shown by both schemes", "spent once"),
    108: ("a Payment credential with another body, where bound", "402"),
    109: ("`Payment-Authorization` beside a `Bearer`", "read where configured; the application's stays"),
    110: ("`Accept-Payment` of any kind", "a plain no is heard; L402 stays; nonsense is ignored"),
    111: ("the receipt", "with a success only; no preimage in it"),
    112: ("every log at DEBUG, in every test", "no secret"),
    113: ("`repr`, `str`, pickles, tracebacks", "no secret"),
    114: ("short keys, default keys, one key for two purposes", "an error; sub-keys differ"),
    115: ("a flood of unpaid requests from one peer", "429; credentials stay good"),
    116: ("the size of a challenge", "below 8 KiB"),
    117: ("the development wallet in production", "does not start"),
    118: ("the time that a wrong key takes", "that of a wrong last byte"),
}

_NAMED = re.compile(r"\bCases? (\d+(?:(?:, | and |, and | to )\d+)*)")


def named_in(docstring: str) -> Iterator[int]:
    """The numbers in "Case 3", "Cases 3, 4 and 6" and "Cases 3 to 6"."""
    for names in _NAMED.findall(docstring):
        for part in re.split(", and |, | and ", names):
            first, _, last = part.partition(" to ")
            yield from range(int(first), int(last or first) + 1)


@cache
def found() -> dict[int, list[str]]:
    """For each case that a test names, the files it is tested in."""
    files: dict[int, list[str]] = {}
    for path in sorted(path for folder in WHERE for path in (ROOT / folder).rglob("*.py")):
        name = path.relative_to(ROOT).as_posix()
        if name.startswith(HERE):
            continue
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Module):
                for number in named_in(ast.get_docstring(node) or ""):
                    names = files.setdefault(number, [])
                    if name not in names:
                        names.append(name)
    return files


def table() -> str:
    """The table as Markdown."""
    files = found()
    lines = ["| case | what happens | what comes of it | tested in |", "| ---: | --- | --- | --- |"]
    for number, (case, outcome) in CASES.items():
        links = ", ".join(
            f"`{name.removeprefix('src/l402_middleware/').removeprefix('tests/')}`" for name in files.get(number, ())
        )
        lines.append(f"| {number} | {case} | {outcome} | {links} |")
    return "\n".join(lines) + "\n"


def page(text: str) -> str:
    """The page `text` with the table of today."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{table()}\n{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
