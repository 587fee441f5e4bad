"""Sends a provider's HTTP requests, blocking or awaiting, and holds every answer to the same rules.

Redirects are not followed (a node does not move), an answer is at most 256 KiB, the environment's proxies
and netrc are not used, and nothing of a request or an answer but its host and status reaches a message.
"""

import os
import ssl
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import httpx2
from anyio.lowlevel import RunVar

from ..core.errors import ProviderError
from ..flow import Flow, Step, do

MAX_ANSWER_BYTES = 256 * 1024


class Transport:
    """One pool of connections for the process, and one for each event loop, opened at first use.

    `timeout` is in seconds, and bounds connecting and every wait for the other end.
    """

    def __init__(self, timeout: float = 10.0) -> None:
        self._timeout = timeout
        self._blocking: tuple[int, httpx2.Client] | None = None
        self._awaiting: RunVar[httpx2.AsyncClient | None] = RunVar("l402_middleware transport")

    def send(self, method: str, url: str, **content: Any) -> Flow[httpx2.Response]:
        """Send a request and return its whole answer, of any status but a redirect; `content` as in `httpx2.Request`.

        Raises `ProviderError` where there is no such answer.
        """
        return (yield from do(Send(self, httpx2.Request(method, url, **content))))

    def client(self) -> httpx2.Client:
        """The blocking client; a forked child gets its own, so that two processes never share a connection."""
        if self._blocking is None or self._blocking[0] != os.getpid():
            client = httpx2.Client(timeout=self._timeout, trust_env=False)
            self._blocking = (os.getpid(), client)
        return self._blocking[1]

    def async_client(self) -> httpx2.AsyncClient:
        """The client of the running event loop."""
        client = self._awaiting.get(None)
        if client is None:
            client = httpx2.AsyncClient(timeout=self._timeout, trust_env=False)
            self._awaiting.set(client)
        return client

    def close(self) -> None:
        """Close the blocking client's connections."""
        if self._blocking is not None:
            self._blocking[1].close()
            self._blocking = None

    async def aclose(self) -> None:
        """Close the connections of the running event loop."""
        client = self._awaiting.get(None)
        if client is not None:
            await client.aclose()
            self._awaiting.set(None)


class Send(Step[httpx2.Response]):
    """One request and its answer; `request` is there for tests that answer a flow by hand."""

    def __init__(self, transport: Transport, request: httpx2.Request) -> None:
        self.request = request
        self._transport = transport

    def block(self) -> httpx2.Response:
        with _failures(self.request):
            response = self._transport.client().send(self.request, stream=True)
            try:
                content = bytearray()
                for chunk in response.iter_bytes():
                    content += chunk
                    _check_size(content, self.request)
            finally:
                response.close()
        return _whole(response, bytes(content), self.request)

    async def wait(self) -> httpx2.Response:
        with _failures(self.request):
            response = await self._transport.async_client().send(self.request, stream=True)
            try:
                content = bytearray()
                async for chunk in response.aiter_bytes():
                    content += chunk
                    _check_size(content, self.request)
            finally:
                await response.aclose()
        return _whole(response, bytes(content), self.request)


def _check_size(content: bytearray, request: httpx2.Request) -> None:
    if len(content) > MAX_ANSWER_BYTES:
        raise ProviderError("bad-answer", f"{request.url.host} answered with more than {MAX_ANSWER_BYTES} bytes")


def _whole(response: httpx2.Response, content: bytes, request: httpx2.Request) -> httpx2.Response:
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
        raise ProviderError("unreachable", f"{host} can not be reached; is it running, and is its URL right?") from None
    except UnicodeError:
        # So the resolver refuses a label of more than 63 characters, and an empty one.
        raise ProviderError("unreachable", f"{host} is no host name; is its URL right?") from None
    except (httpx2.TransportError, httpx2.DecodingError) as error:
        raise ProviderError("bad-answer", f"{host} broke off its answer ({type(error).__name__})") from None
