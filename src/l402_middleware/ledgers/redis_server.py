"""The connections to the Redis that keeps a ledger: how commands reach it, and what its failures mean.

Blocking callers take a connection each from a pool. The tasks of an event loop share one: what they ask for
goes out together, and in the order they asked. A command that may have reached the server is never sent again.
"""

import asyncio
import logging
import os
import weakref
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from typing import Any, Final, TypeVar

import anyio.to_thread
import redis
import redis.asyncio
from redis import exceptions

from ..core.errors import ConfigurationError, LedgerError
from ..flow import Flow, Step, adrive, asyncio_loop, do, drive
from .redis_failures import explain
from .redis_pipe import Pipe
from .redis_scripts import SCRIPTS

T = TypeVar("T")

MAX_CONNECTIONS: Final = 64
"""How many blocking steps of one process are under way at once; further ones wait for a connection."""

log = logging.getLogger("l402_middleware")


class Server:
    """One Redis server, as its URL or the keyword arguments of `redis.Redis` name it.

    Raises `ConfigurationError` where they name none. `timeout` is in seconds, and bounds what a step waits for.
    """

    def __init__(self, address: str | Mapping[str, Any], prefix: str, timeout: float) -> None:
        self._address = address
        self._prefix = prefix
        self._timeout = timeout
        self._blocking: tuple[int, Any] | None = None
        self._pipes: dict[asyncio.AbstractEventLoop, Pipe] = {}
        settings = self._check_address()
        self.name = settings.get("path") or f"{settings.get('host', 'localhost')}:{settings.get('port', 6379)}"

    def step(self, flow: Callable[[], Flow[T]]) -> Step[T]:
        """The step that takes the commands of `flow`. Raises `LedgerError` for whatever goes wrong."""
        return _Operation(self, flow)

    def command(self, *command: Any) -> Step[Any]:
        """One command, as part of a flow; raises what the redis package raises."""
        return _Command(self, command)

    def script(self, verb: str, keys: list[str], *arguments: Any) -> Flow[Any]:
        """Run the script of a verb."""
        script = SCRIPTS[verb]
        try:
            return (yield from do(self.command("EVALSHA", script.sha, len(keys), *keys, *arguments)))
        except exceptions.NoScriptError:
            # It did not run: the server has been started anew, or never heard of it.
            return (yield from do(self.command("EVAL", script.text, len(keys), *keys, *arguments)))

    def check(self, *, allow_volatile: bool, assume_durable: bool) -> Flow[None]:
        """Refuse a server that may forget a payment: raises `LedgerError`, which says what to change there."""
        try:
            info = yield from do(self.command("INFO"))
        except exceptions.ResponseError as error:
            if not isinstance(error, exceptions.NoPermissionError) and "unknown command" not in str(error):
                raise
            info = {}
        policy, appends = info.get("maxmemory_policy"), info.get("aof_enabled")
        if policy is None or appends is None:
            unknown = (
                f"ledger {self.name}: the server does not tell whether it evicts keys and keeps an append-only file"
            )
            if not (assume_durable or allow_volatile):
                raise LedgerError(
                    f"{unknown}; permit its user INFO, or make sure of `maxmemory-policy noeviction` and "
                    "`appendonly yes` yourself and say so with RedisLedger(..., assume_durable=True)"
                )
            log.warning("%s; payments are lost if it does the one, or not the other", unknown)
            return
        if policy != "noeviction":
            raise LedgerError(
                f"ledger {self.name}: the server evicts keys when its memory is full (maxmemory-policy {policy}), "
                "and a forgotten payment can be spent again; set `maxmemory-policy noeviction`, or use another server"
            )
        if not appends and not allow_volatile:
            raise LedgerError(
                f"ledger {self.name}: the server keeps no append-only file, so a restart forgets which payments were "
                "spent; set `appendonly yes`, or accept that with RedisLedger(..., allow_volatile=True)"
            )

    def close(self) -> None:
        """Close the connections that no step uses, and those of event loops once their steps are over."""
        blocking, self._blocking = self._blocking, None
        if blocking is not None and blocking[0] == os.getpid():
            blocking[1].connection_pool.disconnect(inuse_connections=False)
        for pipe in list(self._pipes.values()):
            if pipe.process == os.getpid():
                pipe.close_soon()

    def client(self) -> Any:
        """The blocking client; a forked child gets its own, so that two processes never share a connection."""
        blocking = self._blocking
        if blocking is None or blocking[0] != os.getpid():
            kind, settings = self._settings(redis)
            make_pool: Any = redis.BlockingConnectionPool  # which has no types
            pool = make_pool(
                max_connections=MAX_CONNECTIONS,
                timeout=self._timeout,
                connection_class=kind,
                **settings,
            )
            blocking = self._blocking = (os.getpid(), redis.Redis(connection_pool=pool))
        return blocking[1]

    async def pipe(self) -> Pipe:
        """The running event loop's connection."""
        loop = asyncio.get_running_loop()
        pipe = self._pipes.get(loop)
        if pipe is None or pipe.process != os.getpid():
            kind, settings = self._settings(redis.asyncio)
            pool = redis.asyncio.ConnectionPool(connection_class=kind, **settings)
            pipe = self._pipes[loop] = Pipe(redis.asyncio.Redis(connection_pool=pool), self._timeout)
            await pipe.open(weakref.ref(self))
        return pipe

    def forget(self, loop: asyncio.AbstractEventLoop) -> None:
        """A loop is over, and its connection with it."""
        self._pipes.pop(loop, None)

    @contextmanager
    def failures(self) -> Generator[None]:
        # `from None`: the traceback of a cause holds commands, and so hashes and answers.
        try:
            yield
        except LedgerError:
            raise
        except Exception as error:
            why = explain(error, prefix=self._prefix, timeout=self._timeout, most=MAX_CONNECTIONS)
            raise LedgerError(f"ledger {self.name}: {why}") from None

    def _settings(self, package: Any) -> tuple[Any, dict[str, Any]]:
        """The class of connections, and what to make one with, from `redis` or `redis.asyncio`."""
        if isinstance(self._address, str):
            given = package.connection.parse_url(self._address)
            kind = given.pop("connection_class", package.connection.Connection)
        else:
            pool = package.Redis(**{**self._address, "protocol": 2}).connection_pool
            given, kind = pool.connection_kwargs, pool.connection_class
        settings = given | {
            "decode_responses": False,
            "health_check_interval": 0,
            "protocol": 2,
            # A repeated script would count twice.
            "retry": None,
            "retry_on_error": [],
            "socket_timeout": self._timeout,
        }
        for unwanted in ("max_connections", "retry_on_timeout"):
            settings.pop(unwanted, None)
        if "path" not in settings:
            settings["socket_connect_timeout"] = self._timeout
        return kind, settings

    def _check_address(self) -> dict[str, Any]:
        # Whatever is wrong, its words are not repeated: they may be the password.
        try:
            kind, settings = self._settings(redis)
            kind(**settings)
        except (ValueError, TypeError, exceptions.RedisError):
            raise ConfigurationError(
                "RedisLedger: the address must be redis://[user:password@]host:port/db, rediss:// for TLS, or "
                "unix:///path, with options that the redis package knows, or a dict of redis.Redis's arguments"
            ) from None
        return settings


class _Operation(Step[T]):
    def __init__(self, server: Server, flow: Callable[[], Flow[T]]) -> None:
        self._server = server
        self._flow = flow

    def block(self) -> T:
        with self._server.failures():
            return drive(self._flow())

    async def wait(self) -> T:
        if asyncio_loop() is None:
            # Not abandoned when cancelled: the release that follows must not overtake a hold.
            return await anyio.to_thread.run_sync(self.block)
        with self._server.failures():
            return await adrive(self._flow())


class _Command(Step[Any]):
    def __init__(self, server: Server, command: tuple[Any, ...]) -> None:
        self._server = server
        self._command = command

    def block(self) -> Any:
        return self._server.client().execute_command(*self._command)

    async def wait(self) -> Any:
        pipe = await self._server.pipe()
        # The outcome is the future's result even where it is a failure: a task that was cancelled meanwhile never
        # looks, and asyncio would log an exception that nobody retrieved.
        outcome = await pipe.send(self._command)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome
