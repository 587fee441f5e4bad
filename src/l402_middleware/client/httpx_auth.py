"""`L402Auth`: an `auth=` for httpx2 and httpx, blocking and awaiting."""

import sys
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterator
from functools import cache
from typing import Any, Self, cast

import anyio
import anyio.to_thread
import httpx2

from ..core.errors import ConfigurationError
from .asked import Asked, origin_of
from .budget import Budget
from .buyer import Buyer, Confirm, Done, Scheme
from .steps import Answer, Drain, Send
from .store import MemoryStore
from .wallet import Wallet


class L402Auth(httpx2.Auth):
    """Pays what a server asks for, within a budget: `httpx2.Client(auth=L402Auth(wallet, budget=Budget(50)))`.

    The same for `httpx2.AsyncClient`, and for httpx's. `store` keeps what was bought: in memory where not given; a
    `SQLiteStore` outlives the process, and is shared by others. `confirm`, plain or async, is given each `Quote` before
    it is paid, and says whether it may be. `schemes` are those that are understood, liked best first. `patience`, in
    seconds, is how long to wait for a server or a wallet that is busy. An answer that was paid for has a `Receipt` in
    `response.extensions["l402"]`.

    Requests raise `NotPaid`, `PaymentUncertain` or `PaidInVain` where a purchase does not end in its answer. A body
    that is sent is read into memory first, because it may have to be sent twice.
    """

    def __new__(cls, *arguments: Any, **options: Any) -> Self:
        # Each of the two takes nothing for an `auth=` that is not of its own class. Whoever uses httpx has imported it.
        kind: Any = cls
        return cast(Self, super().__new__(_with_httpx(kind, sys.modules.get("httpx"))))

    def __init__(
        self,
        wallet: Wallet,
        *,
        budget: Budget,
        store: MemoryStore | None = None,
        confirm: Confirm | None = None,
        schemes: tuple[Scheme, ...] = ("l402", "payment"),
        patience: float = 60.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.buyer = Buyer(wallet, budget, store, confirm=confirm, schemes=schemes, patience=patience, clock=clock)

    def sync_auth_flow(self, request: Any) -> Generator[Any, Any, None]:
        request.read()
        trade, headers, response = self.buyer.trade(_asked(request)), list(request.headers.raw), None
        result: Any
        try:
            step = next(trade)
            while True:
                try:
                    if isinstance(step, Send):
                        response = yield _with(request, headers, step)
                        result = _answer(response)
                    elif isinstance(step, Drain):
                        result = _drained(response, step)
                    else:
                        result = step.block()
                except BaseException as error:
                    step = trade.throw(error)
                else:
                    step = trade.send(result)
        except StopIteration as end:
            _finish(response, end.value, is_async=False)

    async def async_auth_flow(self, request: Any) -> AsyncGenerator[Any, Any]:
        await request.aread()
        trade, headers, response = self.buyer.trade(_asked(request)), list(request.headers.raw), None
        result: Any
        try:
            step = next(trade)
            while True:
                try:
                    if isinstance(step, Send):
                        response = yield _with(request, headers, step)
                        result = _answer(response)
                    elif isinstance(step, Drain):
                        result = await _adrained(response, step)
                    else:
                        result = await step.wait()
                except BaseException as error:
                    step = trade.throw(error)
                else:
                    step = trade.send(result)
        except StopIteration as end:
            _finish(response, end.value, is_async=True)


@cache
def _with_httpx(cls: Any, httpx: Any) -> Any:
    if httpx is None or issubclass(cls, httpx.Auth):
        return cls
    return type(cls.__name__, (cls, httpx.Auth), {"__module__": cls.__module__, "__doc__": cls.__doc__})


def _asked(request: Any) -> Asked:
    try:
        origin_of(str(request.url))
    except ValueError:
        raise ConfigurationError("L402Auth: the request's URL is not an http or https URL with a host") from None
    return Asked(request.method, str(request.url).partition("#")[0], request.content)


def _with(request: Any, headers: list[tuple[bytes, bytes]], step: Send) -> Any:
    # A line of its own: an application's own Authorization stands beside it.
    more = [] if step.authorization is None else [(b"Authorization", step.authorization.encode())]
    request.headers = type(request.headers)([*headers, *more])
    return request


def _answer(response: Any) -> Answer:
    fields = [(name.lower(), value) for name, value in response.headers.raw]
    return Answer(
        response.status_code,
        origin_of(str(response.request.url)),
        tuple(value for name, value in fields if name == b"www-authenticate"),
        response.headers.get("Retry-After"),
        response.headers.get("Payment-Receipt"),
    )


def _drained(response: Any, limits: Drain) -> bytes:
    content, until = bytearray(), time.monotonic() + limits.SECONDS
    for piece in response.stream:
        content += piece
        if len(content) > limits.MAX_BYTES or time.monotonic() > until:
            content.clear()
            break
    response.close()
    return _replaced(response, bytes(content))


async def _adrained(response: Any, limits: Drain) -> bytes:
    content = bytearray()
    with anyio.move_on_after(limits.SECONDS) as late:
        async for piece in response.stream:
            content += piece
            if len(content) > limits.MAX_BYTES:
                content.clear()
                break
    if late.cancelled_caught:
        content.clear()
    await response.aclose()
    return _replaced(response, bytes(content))


def _replaced(response: Any, content: bytes) -> bytes:
    """Leave that as the answer's whole body: the client reads it before it sends the next request.

    Of a compressed one nothing is left: it might unpack to any size.
    """
    if "Content-Encoding" in response.headers:
        content = b""
        del response.headers["Content-Encoding"]
    response.is_closed = False
    response.stream = _library(response).ByteStream(content)
    return content


def _finish(response: Any, done: Done, *, is_async: bool) -> None:
    if done.receipt is not None:
        response.extensions["l402"] = done.receipt
    if done.end is not None:
        watched = _watched_async if is_async else _watched
        response.stream = watched(_library(response))(response.stream, done.end)


def _library(response: Any) -> Any:
    """httpx2 or httpx, whichever the answer is of."""
    return sys.modules[type(response).__module__.partition(".")[0]]


class _Watch:
    """A body that tells, once, whether all of it arrived."""

    def __init__(self, stream: Any, end: Callable[[bool], None]) -> None:
        self._stream = stream
        self._end: Callable[[bool], None] | None = end

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def _tell(self, complete: bool) -> None:
        end, self._end = self._end, None
        if end is not None:
            end(complete)


@cache
def _watched(library: Any) -> Any:
    class Watched(_Watch, library.SyncByteStream):  # type: ignore[misc]
        def __iter__(self) -> Iterator[bytes]:
            yield from self._stream
            self._tell(True)

        def close(self) -> None:
            self._stream.close()
            self._tell(False)

    return Watched


@cache
def _watched_async(library: Any) -> Any:
    class Watched(_Watch, library.AsyncByteStream):  # type: ignore[misc]
        async def __aiter__(self) -> AsyncIterator[bytes]:
            async for piece in self._stream:
                yield piece
            # The store's commit is not for the event loop.
            await anyio.to_thread.run_sync(self._tell, True)

        async def aclose(self) -> None:
            await self._stream.aclose()
            self._tell(False)

    return Watched
