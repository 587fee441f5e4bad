"""Sends a provider's HTTP requests, blocking or awaiting, and holds every answer to the same rules.

Redirects are not followed (a node does not move), an answer is at most 256 KiB and comes within one deadline, the
number of requests at once is bounded, the environment's proxies and netrc are not used, and nothing of a request or an
answer but its host and status reaches a message.
"""

import os
import ssl
import threading
import time
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache, partial
from typing import Any

import anyio
import httpcore2
import httpx2

from ..core.errors import ConfigurationError, ProviderError
from ..event_loops import PerLoop
from ..flow import Flow, Step, do, time_left

MAX_ANSWER_BYTES = 256 * 1024

# One connection each; more would not make a node faster.
MAX_REQUESTS = 32

_PHASE_SECONDS = 10.0

_deadline: ContextVar[float] = ContextVar("l402_middleware deadline")


@cache
def _public_authorities() -> ssl.SSLContext:
    # They take 20 ms to load, and every client may share them.
    return httpx2.create_ssl_context(trust_env=False)


class Transport:
    """One pool of connections for the process, and one for each event loop, opened at first use.

    `timeout` bounds a whole request and, once more, its wait for one of `max_requests` turns, both in seconds, and less
    where `flow.within` leaves less; only a blocking look-up of the host's name is left to the resolver. `tls` says
    which certificates are trusted, without it the usual authorities are.
    """

    def __init__(
        self, timeout: float = 20.0, *, tls: ssl.SSLContext | None = None, max_requests: int = MAX_REQUESTS
    ) -> None:
        if isinstance(timeout, bool) or not isinstance(timeout, int | float) or not 0 < timeout < float("inf"):
            raise ConfigurationError(f"timeout must be a number of seconds above 0, not {timeout!r}")
        self.timeout = timeout
        self.max_requests = max_requests
        self._tls = tls
        self._blocking: dict[int, _Blocking] = {}
        self._awaiting = PerLoop(_Awaiting.aclose)

    def send(self, method: str, url: str, **content: Any) -> Flow[httpx2.Response]:
        """Send a request and return its whole answer, of any status but a redirect; `content` as in `httpx2.Request`.

        Raises `ProviderError` where there is no such answer.
        """
        # No generator of its own: its frame would show the request's key to whatever reports tracebacks with locals.
        return do(SendRequest(self, httpx2.Request(method, url, **content)))

    def blocking(self) -> "_Blocking":
        """The connections of the running process: a forked child has its own, so that two processes never share one."""
        process = os.getpid()
        return self._blocking.get(process) or self._blocking.setdefault(process, _Blocking(self))

    def awaiting(self) -> "_Awaiting":
        """The running event loop's connections."""
        return self._awaiting.get(partial(_Awaiting, self))

    def close(self) -> None:
        """Close the blocking client's connections."""
        self.blocking().close()

    async def aclose(self) -> None:
        """Close the connections of the running event loop."""
        await self._awaiting.close()

    def tls(self) -> ssl.SSLContext:
        """Which certificates to trust."""
        return self._tls or _public_authorities()

    def limits(self) -> httpx2.Limits:
        """As many connections as there are turns."""
        return httpx2.Limits(max_connections=self.max_requests, max_keepalive_connections=self.max_requests)

    def phase(self) -> float:
        """How long connecting, and every single wait for the other end, may take, in seconds."""
        return min(self.timeout, _PHASE_SECONDS)


class _Blocking:
    """One process's client, made at its first request, and the turns of its threads."""

    def __init__(self, transport: Transport) -> None:
        self.turns = threading.BoundedSemaphore(transport.max_requests)
        self._transport = transport
        self._lock = threading.Lock()
        self._client: httpx2.Client | None = None

    def client(self) -> httpx2.Client:
        with self._lock:
            if self._client is None:
                timed = _TimedTransport(self._transport.tls(), self._transport.limits())
                self._client = httpx2.Client(transport=timed, timeout=self._transport.phase(), trust_env=False)
            return self._client

    def close(self) -> None:
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            client.close()


class _Awaiting:
    """One event loop's client, and the turns of its tasks."""

    def __init__(self, transport: Transport) -> None:
        self.turns = anyio.Semaphore(transport.max_requests)
        self.client = httpx2.AsyncClient(
            verify=transport.tls(), limits=transport.limits(), timeout=transport.phase(), trust_env=False
        )

    async def aclose(self) -> None:
        await self.client.aclose()


class SendRequest(Step[httpx2.Response]):
    """One request and its answer; `request` is there for tests that answer a flow by hand."""

    def __init__(self, transport: Transport, request: httpx2.Request) -> None:
        # A compressed answer could be any size, so none is asked for, and none is unpacked.
        request.headers.setdefault("Accept-Encoding", "identity")
        request.headers.setdefault("User-Agent", "l402_middleware")
        self.request = request
        self._transport = transport

    def block(self) -> httpx2.Response:
        connections = self._transport.blocking()
        if not connections.turns.acquire(timeout=time_left(self._transport.timeout)):
            raise self._busy()
        until = None
        try:
            client = connections.client()
            until = _deadline.set(time.monotonic() + time_left(self._transport.timeout))
            with _failures(self.request):
                response = client.send(self.request, stream=True)
                try:
                    content = bytearray()
                    for chunk in response.iter_raw():
                        content += chunk
                        if len(content) > MAX_ANSWER_BYTES:
                            break
                finally:
                    response.close()
        finally:
            if until is not None:
                _deadline.reset(until)
            connections.turns.release()
        return _whole(response, bytes(content), self.request)

    async def wait(self) -> httpx2.Response:
        connections = self._transport.awaiting()
        with anyio.move_on_after(time_left(self._transport.timeout)) as queued:
            await connections.turns.acquire()
        if queued.cancelled_caught:
            raise self._busy()
        response, content = None, bytearray()
        try:
            with _failures(self.request), anyio.move_on_after(time_left(self._transport.timeout)) as running:
                response = await connections.client.send(self.request, stream=True)
                try:
                    async for chunk in response.aiter_raw():
                        content += chunk
                        if len(content) > MAX_ANSWER_BYTES:
                            # Leaving the loop would leave generators of the client's to the garbage collector.
                            running.cancel()
                finally:
                    await response.aclose()
        finally:
            connections.turns.release()
        if response is None or (running.cancelled_caught and len(content) <= MAX_ANSWER_BYTES):
            raise ProviderError("timeout", f"{self.request.url.host} did not answer in time")
        return _whole(response, bytes(content), self.request)

    def _busy(self) -> ProviderError:
        return ProviderError(
            "busy",
            f"{self.request.url.host} has {self._transport.max_requests} requests to answer already, "
            "and none of them ended in time",
        )


class _TimedTransport(httpx2.HTTPTransport):
    """A blocking transport that keeps to a deadline, however slowly the other end drips."""

    def __init__(self, tls: ssl.SSLContext, limits: httpx2.Limits) -> None:
        super().__init__(verify=tls, limits=limits, trust_env=False)
        self._pool = httpcore2.ConnectionPool(
            ssl_context=tls,
            max_connections=limits.max_connections,
            max_keepalive_connections=limits.max_keepalive_connections,
            keepalive_expiry=limits.keepalive_expiry,
            network_backend=_TimedBackend(),
        )


class _TimedBackend(httpcore2.SyncBackend):
    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.NetworkStream:
        left = _left(timeout, httpcore2.ConnectTimeout)
        return _TimedStream(super().connect_tcp(host, port, left, local_address, socket_options))


class _TimedStream(httpcore2.NetworkStream):
    def __init__(self, stream: httpcore2.NetworkStream) -> None:
        self._stream = stream

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, _left(timeout, httpcore2.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, _left(timeout, httpcore2.WriteTimeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore2.NetworkStream:
        left = _left(timeout, httpcore2.ConnectTimeout)
        return _TimedStream(self._stream.start_tls(ssl_context, server_hostname, left))

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


def _left(timeout: float | None, late: type[httpcore2.TimeoutException]) -> float:
    left = _deadline.get() - time.monotonic()
    if left <= 0:
        raise late
    return left if timeout is None else min(left, timeout)


def _whole(response: httpx2.Response, content: bytes, request: httpx2.Request) -> httpx2.Response:
    if len(content) > MAX_ANSWER_BYTES:
        raise ProviderError("bad-answer", f"{request.url.host} answered with more than {MAX_ANSWER_BYTES} bytes")
    if response.is_redirect:
        raise ProviderError(
            "bad-answer",
            f"{request.url.host} answered with a redirect ({response.status_code}), which is not followed; "
            "give the provider its final URL",
        )
    return httpx2.Response(response.status_code, content=content, request=request)


@contextmanager
def _failures(request: httpx2.Request) -> Generator[None]:
    # `from None` throughout: the cause's traceback holds the request with its API key.
    host = request.url.host
    try:
        yield
    except httpx2.TimeoutException:
        raise ProviderError("timeout", f"{host} did not answer in time") from None
    except httpx2.ConnectError as error:
        cause: BaseException | None = error
        while cause is not None:
            if isinstance(cause, ssl.SSLError):
                raise ProviderError("tls", f"the TLS certificate of {host} was not accepted: {cause.reason}") from None
            cause = cause.__cause__ or cause.__context__
        raise ProviderError("unreachable", f"{host} cannot be reached; is it running, and is its URL right?") from None
    except UnicodeError:
        # So the resolver refuses a label of more than 63 characters, and an empty one.
        raise ProviderError("unreachable", f"{host} is no host name; is its URL right?") from None
    except (httpx2.TransportError, httpx2.DecodingError) as error:
        raise ProviderError("bad-answer", f"{host} broke off its answer ({type(error).__name__})") from None
