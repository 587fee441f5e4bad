"""A real shared cache in front of a shop, set to keep everything it may: nothing that is paid for is ever in it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NoReturn
from urllib.parse import urlencode

import httpx2
import pytest

from .processes import free_port, nginx, node, shop

pytestmark = pytest.mark.slow

SHOPS = {
    "starlette": (("uvicorn", "{app}:create", "--factory", "--port", "{port}"), "starlette_shop"),
    "flask": (("gunicorn", "{app}:create()", "-b", "127.0.0.1:{port}", "-k", "gthread"), "flask_shop"),
}

# nginx keeps an answer to a request with Authorization like any other, unless the answer says that it must not.
CACHE = """
    proxy_cache_path {folder}/cache levels=1 keys_zone=shop:1m;
    server {{
        listen 127.0.0.1:{port};
        add_header X-Cache $upstream_cache_status always;
        proxy_cache shop;
        proxy_cache_valid any 10m;
        location / {{ proxy_pass http://127.0.0.1:{upstream}; }}
        location /ignoring/ {{ proxy_pass http://127.0.0.1:{upstream}/; proxy_ignore_headers Vary; }}
    }}
"""

# What a handler, or a framework around it, may say to caches.
INVITATIONS: list[dict[str, str]] = [
    {},
    {"Cache-Control": "public, max-age=600"},
    {"Cache-Control": "s-maxage=600"},
    {"Cache-Control": "public, max-age=600, s-maxage=600, stale-while-revalidate=600, immutable"},
    {"Cache-Control": "max-age=600, must-revalidate"},
    {"Cache-Control": "max-age=600", "Vary": "Accept"},
    {"Expires": "Thu, 31 Dec 2099 23:59:59 GMT"},
    {"X-Accel-Expires": "600"},
    {"X-Accel-Expires": "600", "Cache-Control": "public, max-age=600"},
]


@dataclass(frozen=True)
class Shop:
    """A shop, asked through the cache and past it."""

    client: httpx2.Client
    upstream: httpx2.Client

    def get(self, path: str, credential: str | None = None, **headers: str) -> httpx2.Response:
        """An answer through the cache."""
        return self.client.get(path, headers=self._headers(credential, headers))

    def direct(self, path: str, credential: str | None = None, **headers: str) -> httpx2.Response:
        """An answer from the shop itself."""
        return self.upstream.get(path, headers=self._headers(credential, headers))

    @staticmethod
    def _headers(credential: str | None, headers: dict[str, str]) -> dict[str, str]:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return named | ({"Authorization": credential} if credential else {})

    def buy(self, path: str) -> str:
        """A credential for what is there."""
        challenge = self.get(path)
        assert challenge.status_code == 402, challenge.text
        return f"L402 {challenge.json()['macaroon']}:{node().pay(challenge.json()['invoice']).hex()}"


@pytest.fixture(scope="module", params=SHOPS)
def cached(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    skip_or_fail: Callable[[str], NoReturn],
) -> Iterator[Shop]:
    """A shop behind a cache."""
    folder, port = tmp_path_factory.mktemp("cache"), free_port()
    arguments, app = SHOPS[request.param]
    with shop(arguments, app, folder) as upstream:
        http = CACHE.format(folder=folder, port=port, upstream=upstream)
        with (
            nginx(http, port, folder, skip_or_fail),
            httpx2.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client,
            httpx2.Client(base_url=f"http://127.0.0.1:{upstream}", trust_env=False) as past,
        ):
            yield Shop(client, past)


def served_from_cache(answer: httpx2.Response) -> bool:
    """Whether the cache answered without asking the shop."""
    return answer.headers["X-Cache"] in ("HIT", "STALE", "UPDATING", "REVALIDATED")


def url(path: str, headers: dict[str, str], mark: str) -> str:
    """A page that answers with these headers, and that no other test has asked for."""
    return f"{path}?{urlencode(headers | {'X-Mark': mark})}"


def test_the_cache_keeps_what_it_may(cached: Shop) -> None:
    """The same goods, free: kept, also from a request with Authorization. So the tests below can fail."""
    for number, invitation in enumerate(INVITATIONS):
        page = url("/free-goods", invitation, f"free-{number}")
        assert not served_from_cache(cached.get(page, "Bearer x"))
        assert served_from_cache(cached.get(page, "Bearer x")), invitation
        assert served_from_cache(cached.get(page)), invitation


@pytest.mark.parametrize("prefix", ["", "/ignoring"])
@pytest.mark.parametrize("invitation", INVITATIONS, ids=lambda each: " ".join(f"{k}={v}" for k, v in each.items()))
@pytest.mark.parametrize("path", ["/goods", "/pass"])
def test_nothing_paid_comes_from_the_cache(cached: Shop, path: str, invitation: dict[str, str], prefix: str) -> None:
    """Case 90: whatever the handler invites, who has not paid gets 402, and who has gets the shop's own answer."""
    page = url(prefix + path, invitation, f"{path}{prefix}")
    challenges = [cached.get(page) for _ in range(2)]
    assert [each.status_code for each in challenges] == [402, 402]
    assert challenges[0].json()["invoice"] != challenges[1].json()["invoice"]
    assert challenges[0].headers["Cache-Control"] == "no-store"
    for _ in range(2):
        credential = cached.buy(page)
        for _ in range(2):
            answer = cached.get(page, credential)
            assert (answer.status_code, len(answer.content)) == (200, 100)
            assert not served_from_cache(answer)
            assert "private" in answer.headers["Cache-Control"]
            assert "Authorization" in answer.headers["Vary"]
        assert cached.get(page).status_code == 402
        assert cached.get(page, "Bearer x").status_code == 402
        assert cached.get(page, credential[:-1] + ("0" if credential[-1] != "0" else "1")).status_code == 402


@pytest.mark.parametrize("header", [{"If_None_Match": '"1"'}, {"If_None_Match": "*"}, {"Range": "bytes=0-9"}])
def test_no_condition_gets_round_the_price(cached: Shop, header: dict[str, str]) -> None:
    """Case 91: with the ETag of goods that somebody paid for, or for a part of them, unpaid: 402, never 304 or 206."""
    page = url("/pass", {"Cache-Control": "public, max-age=600"}, f"condition-{header}")
    credential = cached.buy(page)
    assert cached.get(page, credential).headers["ETag"] == '"1"'
    since = {"If_Modified_Since": "Thu, 31 Dec 2099 23:59:59 GMT"}
    for asked in (header, header | since, since, {"If_Range": '"1"', "Range": "bytes=0-9"}):
        for answer in (cached.get(page, **asked), cached.direct(page, **asked)):
            assert answer.status_code == 402
            assert answer.headers["Cache-Control"] == "no-store"
            assert "ETag" not in answer.headers
    if header != {"If_None_Match": "*"}:
        paid = cached.direct(page, credential, **header)
        assert paid.status_code == (304 if "If_None_Match" in header else 206)
        assert "private" in paid.headers["Cache-Control"]
        assert "Authorization" in paid.headers["Vary"]
