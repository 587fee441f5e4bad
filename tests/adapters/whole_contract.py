"""What the gate around a whole application must do, whatever application and server: one suite over a small shop."""

from typing import Any

import pytest

from .contract import ASKING_FOR_MORE, PaidBy, Site, code

UNKNOWN = [
    ("GET", "/nowhere"),
    ("GET", "/static/app.js"),
    ("DELETE", "/paid"),
    ("OPTIONS", "/paid"),
    ("OPTIONS", "/nowhere"),
    ("PROPFIND", "/free/../paid"),
    ("GET", "/free/"),
    ("GET", "//free"),
    ("GET", "/FREE"),
    ("GET", "/free;x"),
    ("GET", "/free%0a"),
    ("GET", "/free%00"),
    ("GET", "/free%2F"),
    ("GET", "/%2Ffree"),
    ("GET", "/free%3F"),
    ("GET", "/free%20"),
    ("GET", "/free%ff"),
    ("GET", "/free/%C3%BCn%EF"),
]
"""What no handler of the shop is for, and spellings of a free path that are another path."""


class WholeApplicationContract(PaidBy):
    """Subclasses give the fixture `site`."""

    def test_free(self, site: Site) -> None:
        """Cases 68, 72: a path of the list is free, however encoded, and sees no payment, also with a credential."""
        credential = site.buy("GET", "/paid")
        for url in ("/free", "/fr%65e", "/free?x=1", "/free/ünï", "/free/%C3%BCn%C3%AF"):
            for each in (None, credential):
                answer = site.request("GET", url, each)
                assert (answer.status_code, answer.json()) == (200, {"paid": None}), url
        assert len(site.runs()) == 10
        assert site.request("GET", "/paid", credential).status_code == 200

    def test_unpaid_and_paid(self, site: Site) -> None:
        """Cases 1, 22, 90: everything else is a 402 before the application sees it, and opens when paid, once."""
        challenge = site.request("GET", "/paid?a=1")
        assert code(challenge) == (402, "payment-required")
        quoted = challenge.json()
        assert quoted["amount_sats"] == 21
        assert challenge.headers["cache-control"] == "no-store"
        assert site.runs() == []
        credential = site.pay(challenge)
        first, again = (site.request("GET", "/paid?a=1", credential) for _ in range(2))
        assert first.json() == again.json() == {"paid": quoted["payment_hash"], "sats": 21, "uses_left": 0}
        assert "private" in first.headers["cache-control"]
        assert code(site.request("GET", "/paid?a=2", credential)) == (402, "already-used")
        assert site.runs() == ["/paid"]

    @pytest.mark.parametrize(("method", "url"), UNKNOWN)
    def test_unknown(self, site: Site, method: str, url: str) -> None:
        """Cases 58, 64, 65, 68: 404s, OPTIONS, odd methods and odd spellings of free paths cost the default."""
        answer = site.request(method, url)
        if answer.status_code != 200:
            # A server may refuse some of these itself.
            assert answer.status_code in (402, 400, 404, 405, 501), answer.text
            assert site.runs() == []
        else:
            # waitress takes leading slashes away: that is then the free path to the application too.
            assert (url.replace("%2F", "/").lstrip("/"), site.runs()) == ("free", ["/free"])

    def test_what_is_sold(self, site: Site) -> None:
        """Case 43: one method and one path: another one is another sale; HEAD counts as GET."""
        credential = site.buy("GET", "/status/200")
        for method, url in (("GET", "/paid"), ("POST", "/status/200"), ("GET", "/status/204"), ("GET", "/status/200/")):
            assert code(site.request(method, url, credential)) == (402, "wrong-endpoint")
        assert site.request("GET", "/st%61tus/200", credential).status_code == 200
        assert site.runs() == ["/status/200"]

    def test_head(self, site: Site) -> None:
        """Cases 23, 64: HEAD is priced as GET, without a body."""
        answer = site.request("HEAD", "/paid")
        assert answer.status_code == 402
        assert answer.headers["www-authenticate"].startswith('L402 macaroon="')
        assert answer.content == b""
        assert site.runs() == []

    @pytest.mark.parametrize(("status", "charged"), [(200, True), (204, True), (304, True), (404, False), (503, False)])
    def test_charged(self, site: Site, status: int, charged: bool) -> None:
        """Cases 49, 50: below 400 is delivered; anything else costs nothing, and the credential stays good."""
        url = f"/status/{status}"
        credential = site.buy("GET", url)
        assert site.request("GET", url, credential).status_code == status
        assert site.request("GET", f"{url}?other", credential).status_code == (402 if charged else status)
        assert len(site.runs()) == (1 if charged else 2)

    def test_a_page_that_is_not_there(self, site: Site) -> None:
        """Case 68: a 404 has to be paid for before it is seen, and is then not charged."""
        credential = site.buy("GET", "/status/404")
        for _ in range(2):
            assert site.request("GET", "/status/404", credential).status_code == 404

    def test_bodies(self, site: Site) -> None:
        """Cases 24, 74: a body reaches the handler as it was sent."""
        body = bytes(range(256)) * 1000
        credential = site.buy("POST", "/echo")
        assert site.request("POST", "/echo", credential, content=body).content == body
        assert site.runs() == ["/echo"]

    @ASKING_FOR_MORE
    def test_headers_that_ask_for_more(self, site: Site, headers: dict[str, str]) -> None:
        """Cases 61, 69, 91: no request header makes a path free."""
        assert site.request("GET", "/paid", headers=headers).status_code in (402, 400)
        assert site.runs() == []

    def test_the_wallet(self, site: Site) -> None:
        """The development wallet answers on its path, which no application sees."""
        invoice = site.request("GET", "/nowhere").json()["invoice"]
        paid: Any = site.request("GET", f"/dev/wallet/pay?invoice={invoice}").json()
        assert paid.keys() == {"preimage"}
        assert site.runs() == []
