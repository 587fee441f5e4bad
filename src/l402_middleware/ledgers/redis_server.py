"""The connections to the Redis that keeps a ledger: how commands reach it, and what its failures mean.

Blocking callers take a connection each from a pool. The tasks of an event loop share one: what they ask for
goes out together, and in the order they asked. A command that may have reached the server is never sent again.
"""

import asyncio
import logging
import os
import ssl
import weakref
from collections import deque
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator, Mapping
from contextlib import contextmanager, suppress
from hashlib import sha1
from importlib import resources
from typing import Any, Final, TypeAlias, TypeVar

import anyio.to_thread
import redis
import redis.asyncio
from redis import exceptions

from ..core.errors import ConfigurationError, LedgerError
from ..flow import Flow, Step, adrive, asyncio_loop, do, drive

T = TypeVar("T")

SCRIPT: Final = "".join(
    resources.files(__package__).joinpath(half).read_text("utf-8") for half in ("redis_payment.lua", "redis_steps.lua")
)
SCRIPT_SHA: Final = sha1(SCRIPT.encode(), usedforsecurity=False).hexdigest()

MAX_CONNECTIONS: Final = 64
"""How many blocking steps of one process are under way at once; further ones wait for a connection."""

BATCH: Final = 256
"""How many commands of an event loop go out together at most."""

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
        self._pipes: dict[asyncio.AbstractEventLoop, _Pipe] = {}
        settings = self._check_address()
        self.name = settings.get("path") or f"{settings.get('host', 'localhost')}:{settings.get('port', 6379)}"

    def step(self, flow: Callable[[], Flow[T]]) -> Step[T]:
        """The step that takes the commands of `flow`. Raises `LedgerError` for whatever goes wrong."""
        return _Operation(self, flow)

    def command(self, *command: Any) -> Step[Any]:
        """One command, as part of a flow; raises what the redis package raises."""
        return _Command(self, command)

    def script(self, keys: list[str], *arguments: Any) -> Flow[Any]:
        """Run a verb of the script."""
        try:
            return (yield from do(self.command("EVALSHA", SCRIPT_SHA, len(keys), *keys, *arguments)))
        except exceptions.NoScriptError:
            # It did not run: the server has been started anew, or never heard of it.
            return (yield from do(self.command("EVAL", SCRIPT, len(keys), *keys, *arguments)))

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

    async def pipe(self) -> "_Pipe":
        """The running event loop's connection."""
        loop = asyncio.get_running_loop()
        pipe = self._pipes.get(loop)
        if pipe is None or pipe.process != os.getpid():
            kind, settings = self._settings(redis.asyncio)
            pool = redis.asyncio.ConnectionPool(connection_class=kind, **settings)
            pipe = self._pipes[loop] = _Pipe(redis.asyncio.Redis(connection_pool=pool), self._timeout)
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
            raise LedgerError(f"ledger {self.name}: {self._explain(error)}") from None

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

    def _explain(self, error: Exception) -> str:
        # What happened while connecting is the cause of an error that says no more than that.
        cause: BaseException | None = error
        while cause is not None:
            for kind, word, remedy in _REMEDIES:
                if isinstance(cause, kind) and word in str(cause):
                    return remedy.format(prefix=self._prefix, timeout=self._timeout, most=MAX_CONNECTIONS)
            if isinstance(cause, ssl.SSLError):
                return f"there is no TLS with it ({cause.reason}); are the scheme, the port and ssl_ca_certs right?"
            cause = cause.__cause__ or cause.__context__
        if isinstance(error, exceptions.ConnectionError | OSError):
            return "it cannot be reached; is it running, and is its address right?"
        return f"it refused a command ({type(error).__name__}); its log may say why"


_DENIED = "it refused the user name or password; put the right ones into its address"
_REPLICA = "it is a replica, which cannot be written; give the address of the primary"
_FULL = "its memory is full; raise its maxmemory, and the next request goes through"
_TOO_LONG = "it did not answer within {timeout:g} s; is it overloaded, stopped or cut off, or its port not one for TLS?"

_REMEDIES: Final[tuple[tuple[type[Exception], str, str], ...]] = (
    (exceptions.AuthenticationError, "", _DENIED),
    (
        exceptions.ResponseError,
        "WRONGPASS",
        "it refused the user name or password; put the right ones into its address",
    ),
    (
        exceptions.NoPermissionError,
        "",
        "its user may not do what a ledger does; grant it ~{prefix}* +@read +@write +@scripting +info +time",
    ),
    (exceptions.BusyLoadingError, "", "it is reading its data after a start; wait until it has"),
    (exceptions.ReadOnlyError, "", _REPLICA),
    (
        exceptions.ResponseError,
        "READONLY",
        "it is a replica, which cannot be written; give the address of the primary",
    ),
    (exceptions.OutOfMemoryError, "", _FULL),
    (exceptions.ResponseError, "OOM ", _FULL),
    (exceptions.ResponseError, "MISCONF", "it cannot write to its disk; make room there, its log says more"),
    (
        exceptions.ResponseError,
        "WRONGTYPE",
        "keys that begin with {prefix} belong to another application; give RedisLedger a prefix of its own",
    ),
    (
        exceptions.AskError,
        "",
        "another node of the cluster has the keys of {prefix}{{ledger}}; give that node's address",
    ),
    (exceptions.ClusterDownError, "", "its cluster is down; look at CLUSTER INFO there"),
    (exceptions.ResponseError, "BUSY", "it is busy with somebody's script; end that with SCRIPT KILL"),
    (exceptions.ConnectionError, "max number of clients", "it has no connection left; raise its maxclients"),
    (
        exceptions.ConnectionError,
        "No connection available",
        "all {most} connections of this process were busy for {timeout:g} s; is it overloaded?",
    ),
    (exceptions.TimeoutError, "", _TOO_LONG),
    (TimeoutError, "", _TOO_LONG),
)


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


_Waiting: TypeAlias = tuple[tuple[Any, ...], float, "asyncio.Future[Any]"]
"""A command, the time of the loop until which it may take, and who waits for its outcome."""


class _Pipe:
    """The connection of one event loop, until the loop shuts down."""

    def __init__(self, client: redis.asyncio.Redis, timeout: float) -> None:
        self.process = os.getpid()
        self._client = client
        self._timeout = timeout
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[_Waiting] = deque()
        self._pump: asyncio.Task[None] | None = None
        self._lifetime: AsyncGenerator[None] | None = None

    async def open(self, server: "weakref.ref[Server]") -> None:
        # When a loop shuts down, it ends the asynchronous generators that began in it.
        self._lifetime = _until_shutdown(self._client, self._loop, server)
        await anext(self._lifetime)
        weakref.finalize(self, _soon, self._loop, self._client.connection_pool.disconnect).atexit = False

    def send(self, command: tuple[Any, ...]) -> "asyncio.Future[Any]":
        future = self._loop.create_future()
        self._waiting.append((command, self._loop.time() + self._timeout, future))
        if self._pump is None:
            self._pump = self._loop.create_task(self._send_all())
        return future

    def close_soon(self) -> None:
        _soon(self._loop, self._disconnect)

    async def _disconnect(self) -> None:
        if self._pump is not None:
            await self._pump
        await self._client.connection_pool.disconnect(inuse_connections=False)

    async def _send_all(self) -> None:
        batch: list[_Waiting] = []
        try:
            while self._waiting:
                batch = []
                while self._waiting and len(batch) < BATCH:
                    command, deadline, future = self._waiting.popleft()
                    if not future.done():
                        batch.append((command, deadline, future))
                if batch:
                    await self._send(batch)
        finally:
            self._pump = None
            # All are done, unless the loop shuts down.
            for _, _, future in (*batch, *self._waiting):
                future.cancel()
            self._waiting.clear()

    async def _send(self, batch: list[_Waiting]) -> None:
        outcomes: list[Any]
        try:
            async with asyncio.timeout_at(batch[0][1]):
                pipeline = self._client.pipeline(transaction=False)
                for command, _, _ in batch:
                    pipeline.execute_command(*command)
                outcomes = await pipeline.execute(raise_on_error=False)
        except Exception as error:  # whatever it is, those who wait must hear of it
            outcomes = [error] * len(batch)
        for (_, _, future), outcome in zip(batch, outcomes, strict=True):
            if not future.done():
                future.set_result(outcome)


def _soon(loop: asyncio.AbstractEventLoop, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    with suppress(RuntimeError):  # the loop was closed, and its connection with it
        loop.call_soon_threadsafe(lambda: loop.create_task(work()))


async def _until_shutdown(
    client: redis.asyncio.Redis, loop: asyncio.AbstractEventLoop, server: "weakref.ref[Server]"
) -> AsyncGenerator[None]:
    try:
        yield
    finally:
        if (this := server()) is not None:
            this.forget(loop)
        await client.connection_pool.disconnect()
