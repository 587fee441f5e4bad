"""What the failures of a Redis mean, and what to do about each, without a word of what was to be stored."""

import ssl
from typing import Final

from redis import exceptions

_DENIED = "it refused the user name or password; put the right ones into its address"
_REPLICA = "it is a replica, which cannot be written; give the address of the primary"
_FULL = "its memory is full; raise its maxmemory, and the next request goes through"
_TOO_LONG = "it did not answer within {timeout:g} s; is it overloaded, stopped or cut off, or its port not one for TLS?"

_REMEDIES: Final[tuple[tuple[type[Exception], str, str], ...]] = (
    (exceptions.AuthenticationError, "", _DENIED),
    (exceptions.ResponseError, "WRONGPASS", _DENIED),
    (
        exceptions.NoPermissionError,
        "",
        "its user may not do what a ledger does; grant it ~{prefix}* +@read +@write +@scripting +info +time",
    ),
    (exceptions.BusyLoadingError, "", "it is reading its data after a start; wait until it has"),
    (exceptions.ReadOnlyError, "", _REPLICA),
    (exceptions.ResponseError, "READONLY", _REPLICA),
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


def explain(error: Exception, **values: object) -> str:
    """What happened and what to do, with the `prefix`, the `timeout` and the `most` connections filled in."""
    # What happened while connecting is the cause of an error that says no more than that.
    cause: BaseException | None = error
    while cause is not None:
        for kind, word, remedy in _REMEDIES:
            if isinstance(cause, kind) and word in str(cause):
                return remedy.format(**values)
        if isinstance(cause, ssl.SSLError):
            return f"there is no TLS with it ({cause.reason}); are the scheme, the port and ssl_ca_certs right?"
        cause = cause.__cause__ or cause.__context__
    if isinstance(error, exceptions.ConnectionError | OSError):
        return "it cannot be reached; is it running, and is its address right?"
    return f"it refused a command ({type(error).__name__}); its log may say why"
