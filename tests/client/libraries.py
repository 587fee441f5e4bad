"""The same request by each HTTP library, blocking and awaiting."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import httpx
import httpx2
import requests

from l402_middleware.client import Budget, L402Auth, MemoryStore, Receipt, Wallet
from l402_middleware.client.requests import L402Auth as RequestsAuth


@dataclass
class Got:
    """What came of a request."""

    status: int
    body: bytes
    receipt: Receipt | None
    history: list[int]


class Get(Protocol):
    """Sends a request and gives its whole answer; redirects are followed."""

    def __call__(
        self, auth: Any, url: str, *, method: str = "GET", body: bytes | None = None, headers: Any = None
    ) -> Got: ...


@dataclass
class Library:
    """A library, and the `auth=` for it."""

    name: str
    get: Get
    make_auth: Callable[..., Any] = L402Auth

    def auth(self, wallet: Wallet, budget: Budget | None = None, store: MemoryStore | None = None) -> Any:
        """An `auth=` with 50 sat for a request."""
        return self.make_auth(wallet, budget=budget or Budget(50), store=store, patience=10)


def blocking(library: Any) -> Get:
    """By a blocking client."""

    def get(auth: Any, url: str, *, method: str = "GET", body: bytes | None = None, headers: Any = None) -> Got:
        with library.Client(auth=auth, follow_redirects=True, trust_env=False) as client:
            answer = client.request(method, url, content=body, headers=headers)
            assert answer.elapsed.total_seconds() >= 0
        return got(answer)

    return get


def awaiting(library: Any) -> Get:
    """By an awaiting client."""

    def get(auth: Any, url: str, *, method: str = "GET", body: bytes | None = None, headers: Any = None) -> Got:
        async def send() -> Any:
            async with library.AsyncClient(auth=auth, follow_redirects=True, trust_env=False) as client:
                return await client.request(method, url, content=body, headers=headers)

        return got(asyncio.run(send()))

    return get


def got(answer: Any) -> Got:
    """What came of a request by httpx2 or httpx."""
    history = [each.status_code for each in answer.history]
    return Got(answer.status_code, answer.content, answer.extensions.get("l402"), history)


def by_requests(auth: Any, url: str, *, method: str = "GET", body: bytes | None = None, headers: Any = None) -> Got:
    """By requests."""
    with requests.Session() as session:
        session.trust_env = False
        answer: Any = session.request(method, url, data=body, headers=headers, auth=auth)
        return Got(answer.status_code, answer.content, answer.l402, [each.status_code for each in answer.history])


LIBRARIES = [
    Library("httpx2", blocking(httpx2)),
    Library("httpx2 awaiting", awaiting(httpx2)),
    Library("httpx", blocking(httpx)),
    Library("httpx awaiting", awaiting(httpx)),
    Library("requests", by_requests, RequestsAuth),
]
