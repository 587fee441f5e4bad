"""Somebody who buys conversions, with nothing but an HTTP client and the development wallet."""

import base64
import json
from dataclasses import dataclass, field
from typing import Any

import httpx2

PATH = "/api/l402/file-conversion"


def order(file: bytes, source: str, target: str, name: str = "a file") -> bytes:
    """The body that orders one conversion."""
    members = {"file": base64.b64encode(file).decode(), "file_name": name}
    return json.dumps(members | {"extensionFrom": source, "extensionTo": target}).encode()


@dataclass(frozen=True, slots=True)
class Customer:
    """Orders through `http`, which may lead into an application or to a server."""

    http: httpx2.Client = field(repr=False)

    def ask(self, body: bytes, credential: str | None = None, **headers: str) -> httpx2.Response:
        """Post a body, with a credential if there is one. In names of `headers`, an underscore is a hyphen."""
        fields = {"Content-Type": "application/json"} | {name.replace("_", "-"): headers[name] for name in headers}
        if credential is not None:
            fields["Authorization"] = credential
        return self.http.post(PATH, content=body, headers=fields)

    def pay(self, challenge: httpx2.Response) -> str:
        """Pay the invoice of a 402; the credential."""
        assert challenge.status_code == 402, challenge.text
        asked = challenge.json()
        paid = self.http.get("/dev/wallet/pay", params={"invoice": asked["invoice"]})
        assert paid.status_code == 200, paid.text
        return f"L402 {asked['macaroon']}:{paid.json()['preimage']}"

    def buy(self, body: bytes) -> httpx2.Response:
        """Ask, pay, and repeat exactly the same request."""
        return self.ask(body, self.pay(self.ask(body)))

    def fetch(self, answer: httpx2.Response) -> bytes:
        """What the link of a paid answer leads to."""
        assert answer.status_code == 200, answer.text
        assert set(answer.json()) == {"url"}
        file = self.http.get(answer.json()["url"])
        assert file.status_code == 200, file.text
        return file.content


def code_of(answer: httpx2.Response) -> str:
    """The code of a problem, which has to look as RFC 9457 wants it."""
    assert answer.headers["Content-Type"] == "application/problem+json"
    members: dict[str, Any] = answer.json()
    assert members["status"] == answer.status_code
    assert members["title"]
    code: str = members["code"]
    assert members["type"] == f"urn:l402:problem:{code}"
    return code
