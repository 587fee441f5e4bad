"""RedisLedger: the contract, several processes, forks, kills, and every way in which a server can fail."""

import asyncio
import gc
import json
import logging
import os
import random
import shutil
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, NoReturn

import anyio
import pytest
from redis.crc import key_slot

from l402_middleware.core.errors import ConfigurationError, LedgerError
from l402_middleware.flow import Step
from l402_middleware.ledgers import RedisLedger, ledger_from_url
from l402_middleware.ledgers.ledger import Busy, Held, Kept, Ledger, Revoked, Spent, Total, day_of
from l402_middleware.testing.ledger_contract import LedgerContract
from l402_middleware.testing.ledger_steps import ANSWER, LIFE, REPLAY, Take, claim, release, settle, taking

from .redis_server import PASSWORD, QUOTED, RedisServer, free_port

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="there is no Redis for Windows"),
    pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning"),
]


@pytest.fixture(scope="module")
def installed() -> bool:
    """Whether there is a redis-server."""
    return shutil.which("redis-server") is not None


@pytest.fixture(scope="module")
def shared(installed: bool) -> Iterator[RedisServer | None]:
    """One server for all tests that leave it as it was."""
    if not installed:
        yield None
        return
    server = RedisServer()
    server.start()
    yield server
    server.remove()


@pytest.fixture
def server(shared: RedisServer | None, skip_or_fail: Callable[[str], NoReturn]) -> RedisServer:
    """The shared server."""
    return shared or skip_or_fail("there is no redis-server on PATH (Debian: apt-get install redis-server)")


@pytest.fixture
def make_server(installed: bool, skip_or_fail: Callable[[str], NoReturn]) -> Iterator[Callable[..., RedisServer]]:
    """Servers of the test's own, started with further options."""
    if not installed:
        skip_or_fail("there is no redis-server on PATH (Debian: apt-get install redis-server)")
    servers = []

    def make(*options: str) -> RedisServer:
        servers.append(RedisServer(*options))
        servers[-1].start()
        return servers[-1]

    yield make
    for server in servers:
        server.remove()


@pytest.fixture
def ledger(server: RedisServer) -> Iterator[RedisLedger]:
    """A ledger on the shared server."""
    ledger = RedisLedger(server.url)
    yield ledger
    ledger.close()


@pytest.fixture(params=["block", "asyncio", "trio"])
def take(request: pytest.FixtureRequest) -> Iterator[Take]:
    """Every way of taking a step."""
    with taking(request.param) as take:
        yield take


class TestRedisLedger(LedgerContract):
    def forget(self, ledger: Ledger, now: float) -> None:
        """Keys end by the server's clock."""
        time.sleep(max(0.0, now - time.time()))

    @pytest.fixture
    def ledger(self, server: RedisServer) -> Iterator[RedisLedger]:
        ledger = RedisLedger(server.url)
        yield ledger
        ledger.close()

    @pytest.fixture
    def another(self, server: RedisServer) -> Iterator[RedisLedger]:
        ledger = RedisLedger({"host": "127.0.0.1", "port": server.port, "password": PASSWORD})
        yield ledger
        ledger.close()

    def test_one_key_is_kept(self, ledger: Ledger, another: Ledger, take: Take) -> None:
        """A Redis keeps no secret keys, and says where to put them."""
        assert ledger.keeps_keys is False
        with pytest.raises(ConfigurationError, match=r"L402_SECRET_KEYS or secret_keys.*l402 keygen"):
            ledger.keep_key("k" * 32)


# What is in the server


def keys_of(server: RedisServer, held_hash: bytes) -> dict[str, int]:
    """The keys that belong to a payment, by kind, with their lives in seconds."""
    with server.client() as client:
        found = [key.decode() for key in client.keys(f"*{held_hash.hex()}")]
        return {key.split(":")[-2]: client.pttl(key) / 1000 for key in found}


def test_a_payment_lives_as_long_as_it_must(ledger: RedisLedger, server: RedisServer) -> None:
    """Case 53: a payment's key ends with its life, an answer's with its replay, and nothing stays behind for ever."""
    held = claim(time.time())
    ledger.hold(held).block()
    assert settle(ledger, held, ANSWER, after=0).block() is True
    lives = keys_of(server, held.payment_hash)
    assert set(lives) == {"payment", "answers"}
    assert LIFE - 1 < lives["payment"] <= LIFE + 0.1
    assert REPLAY - 1 < lives["answers"] <= REPLAY + 0.1
    with server.client() as client:
        immortal = {key.decode().split(":")[2] for key in client.keys("l402:*") if client.ttl(key) == -1}
    assert immortal <= {"totals", "days", "revoked"}


@pytest.mark.parametrize(
    ("ahead", "life"),
    [(-2 * 86400, LIFE), (-60, LIFE), (60, LIFE + 60), (2 * 86400, LIFE + 2 * 86400)],
)
def test_no_clock_makes_a_payment_forgotten_early(
    ledger: RedisLedger, server: RedisServer, ahead: float, life: float
) -> None:
    """Case 53: where the asker's clock and that of Redis differ, the one that remembers longer counts."""
    held = claim(time.time() + ahead)
    ledger.hold(held).block()
    assert keys_of(server, held.payment_hash)["payment"] == pytest.approx(life, abs=1.5)
    assert settle(ledger, held).block() is True
    later = replace(claim(held.now, like=held), forget_at=held.forget_at + 500)
    assert ledger.hold(later).block() == Spent()
    assert keys_of(server, held.payment_hash)["payment"] == pytest.approx(life + 500, abs=1.5)


def test_all_keys_of_a_ledger_are_in_one_slot(server: RedisServer) -> None:
    """Under its prefix, a ledger's keys share one slot, as a script on a cluster must have it."""
    ledger = RedisLedger(server.url, prefix="shop7:")
    held = claim(time.time())
    ledger.hold(held).block()
    settle(ledger, held, ANSWER).block()
    ledger.revoke(os.urandom(32)).block()
    with server.client() as client:
        keys = client.keys("shop7:*")
    assert len(keys) == 5
    assert len({key_slot(key) for key in keys}) == 1
    ledger.close()


def test_ledgers_with_other_prefixes_do_not_touch_each_other(server: RedisServer) -> None:
    """Two ledgers on one server, told apart by their prefix, count for themselves."""
    one, two, held = RedisLedger(server.url, prefix="one:"), RedisLedger(server.url, prefix="two:"), claim(time.time())
    for ledger in (one, two):
        assert ledger.hold(held).block() == Held(0)
        assert settle(ledger, held).block() is True
        ledger.close()


@pytest.mark.parametrize("request_digest", [bytes(range(256)), b"", b" ", b"a b\nc ", b"\0" * 32])
def test_any_request_digest(ledger: RedisLedger, request_digest: bytes) -> None:
    """Case 54: a request is told apart by all of its bytes, whatever they are."""
    held = claim(time.time(), request=request_digest)
    ledger.hold(held).block()
    assert ledger.renew(held.payment_hash, held.hold_id, held.lease_until + 9).block() is True
    assert settle(ledger, held, ANSWER).block() is True
    assert ledger.hold(claim(held.now, like=held, request=request_digest)).block() == Kept(ANSWER)
    assert ledger.hold(claim(held.now, like=held, request=request_digest + b"\0")).block() == Spent()


def test_an_endpoint_that_is_not_unicode(ledger: RedisLedger) -> None:
    """A path that is not UTF-8 reaches the ledger as lone surrogates, and comes back as it was."""
    held = replace(claim(time.time()), endpoint="GET /\udcff\udc00")
    ledger.hold(held).block()
    settle(ledger, held, after=0).block()
    history = ledger.history(held.payment_hash).block()
    assert history is not None
    assert history.endpoint == held.endpoint
    assert held.endpoint in {total.endpoint for total in ledger.totals(day_of(held.now), day_of(held.now)).block()}


def test_many_counts_in_one_step(ledger: RedisLedger) -> None:
    """Ten thousand counts go through at once."""
    name = os.urandom(8).hex()
    ledger.count(
        [Total(day_of(time.time()), f"GET /{name}/{number}", "offered", number) for number in range(10_000)]
    ).block()
    today = day_of(time.time())
    found = [total for total in ledger.totals(today - 1, today).block() if name in total.endpoint]
    assert sum(total.count for total in found) == sum(range(10_000))


def test_a_server_that_forgot_the_script(ledger: RedisLedger, server: RedisServer, take: Take) -> None:
    """After SCRIPT FLUSH, as after a restart, a step brings the script along."""
    held = claim(time.time())
    with server.client() as client:
        client.script_flush()
        assert take(ledger.hold(held)) == Held(0)
        client.script_flush()
    assert take(settle(ledger, held)) is True


# Connections


def connections(server: RedisServer) -> int:
    """How many connections the server has, the asker's left out."""
    with server.client() as client:
        return len(client.client_list()) - 1


def test_an_event_loop_has_one_connection(make_server: Callable[..., RedisServer]) -> None:
    """A hundred tasks share one connection; `close` gives it up in a running loop, and so does the loop's own end."""
    server = make_server()
    ledger = RedisLedger(server.url)

    async def work() -> None:
        await asyncio.gather(*(ledger.hold(claim(time.time())).wait() for _ in range(100)))

    async def main() -> None:
        await work()
        assert connections(server) == 1
        ledger.close()
        await asyncio.sleep(0.1)
        assert connections(server) == 0
        await work()
        assert connections(server) == 1

    asyncio.run(main())
    gc.collect()
    assert connections(server) == 0
    asyncio.run(main())
    ledger.close()


def test_threads_share_a_limited_number_of_connections(make_server: Callable[..., RedisServer]) -> None:
    """After `close` a blocking ledger has none."""
    server = make_server()
    ledger = RedisLedger(server.url)
    ledger.hold(claim(time.time())).block()
    assert connections(server) == 1
    ledger.close()
    assert connections(server) == 0


def test_a_ledger_that_is_dropped_leaves_nothing_behind(make_server: Callable[..., RedisServer]) -> None:
    """A ledger that nobody has any more closes its connections, in a loop that goes on."""
    server = make_server()

    async def main() -> None:
        await RedisLedger(server.url).hold(claim(time.time())).wait()
        gc.collect()
        await asyncio.sleep(0.1)
        assert connections(server) == 0

    asyncio.run(main())


def test_cancelled_steps_disturb_no_others(server: RedisServer, ledger: RedisLedger) -> None:
    """Case 78: with steps cancelled at random, every other step gets its own outcome, and released uses are free."""
    chance = random.Random(7)

    async def cancelled(number: int) -> None:
        held = claim(time.time())
        with anyio.move_on_after(chance.random() / 100):
            await ledger.hold(held).wait()
            await settle(ledger, held).wait()
        await release(ledger, held).wait()

    async def whole(number: int) -> None:
        held, answer = claim(time.time(), bought=2), os.urandom(number)
        assert await ledger.hold(held).wait() == Held(1)
        assert await ledger.renew(held.payment_hash, held.hold_id, held.lease_until + 1).wait() is True
        assert await settle(ledger, held, answer).wait() is True
        again = claim(time.time(), bought=2, like=held)
        assert await ledger.hold(again).wait() == Held(0)
        assert await settle(ledger, again, answer).wait() is True
        assert await ledger.hold(claim(time.time(), like=held)).wait() == Kept(answer)

    async def main() -> None:
        async with anyio.create_task_group() as tasks:
            for number in range(300):
                tasks.start_soon(cancelled, number)
                tasks.start_soon(whole, number)

    asyncio.run(main())


def test_a_cancelled_hold_never_overtakes_its_release(ledger: RedisLedger) -> None:
    """Case 78: a hold that is cancelled under way and then released is released, however soon."""

    async def main() -> None:
        await ledger.hold(claim(time.time())).wait()
        for _ in range(300):
            held = claim(time.time())
            task = asyncio.ensure_future(ledger.hold(held).wait())
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            task.cancel()
            await release(ledger, held).wait()
            assert await ledger.hold(claim(time.time(), like=held)).wait() == Held(0)

    asyncio.run(main())


@pytest.mark.parametrize("used", [False, True])
def test_a_fork(server: RedisServer, used: bool) -> None:
    """Case 84: a ledger made, and used, before a fork counts in both processes, blocking and awaiting."""
    ledger, held = RedisLedger(server.url), claim(time.time(), bought=4)

    def once(take: Callable[[Step[Any]], Any]) -> bool:
        again = claim(time.time(), bought=4, like=held)
        return isinstance(take(ledger.hold(again)), Held) and take(settle(ledger, again)) is True

    def in_child() -> bool:
        return once(lambda step: step.block()) and once(lambda step: asyncio.run(step.wait()))

    if used:
        ledger.hold(claim(time.time())).block()
    if (child := os.fork()) == 0:
        status = 1
        try:
            status = 0 if in_child() else 2
            ledger.close()
        finally:
            os._exit(status)
    assert once(lambda step: step.block())
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert once(lambda step: asyncio.run(step.wait()))
    assert ledger.hold(claim(time.time(), like=held)).block() == Spent()
    ledger.close()


PROCESS = """
import asyncio, json, random, sys, time
from dataclasses import replace
from l402_middleware.ledgers import RedisLedger
from l402_middleware.ledgers.ledger import Held
from l402_middleware.testing.ledger_steps import claim, settle

url, seed = sys.argv[1:]
ledger, delivered = RedisLedger(url), {}

async def deliver(number):
    name, uses = bytes.fromhex(seed) + number.to_bytes(2), 1 + number % 3
    held = replace(claim(time.time(), bought=uses), payment_hash=name.ljust(32), endpoint="GET /" + seed)
    if isinstance(await ledger.hold(held).wait(), Held) and await settle(ledger, held).wait():
        delivered[number] = delivered.get(number, 0) + 1

async def main():
    await ledger.revoked().wait()
    print("ready", flush=True)
    input()
    numbers = [number for number in range(300) for _ in range(4)]
    for _ in range(3):
        random.shuffle(numbers)
        for first in range(0, len(numbers), 100):
            await asyncio.gather(*(deliver(number) for number in numbers[first : first + 100]))

asyncio.run(main())
print(json.dumps(delivered))
"""


def test_processes_with_nothing_shared_but_the_server(server: RedisServer, ledger: RedisLedger) -> None:
    """Cases 46 and 47: of what several processes claim at once, exactly what was bought is delivered."""
    seed = os.urandom(8)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", PROCESS, server.url, seed.hex()]
    processes = [
        subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE) for _ in range(2)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write(b"go\n")
        process.stdin.flush()
    results = [json.loads(process.communicate(timeout=60)[0]) for process in processes]
    assert all(results)
    for number in range(300):
        assert sum(result.get(str(number), 0) for result in results) == 1 + number % 3
    today = day_of(time.time())
    totals = [total for total in ledger.totals(today - 1, today).block() if total.endpoint == f"GET /{seed.hex()}"]
    assert sum(total.count for total in totals if total.what == "delivered") == 600
    assert sum(total.msat for total in totals if total.what == "paid") == 300 * 21_000


def test_a_server_that_is_killed_under_load(make_server: Callable[..., RedisServer]) -> None:
    """Case 52: while it is away steps fail as ledger errors; what it confirmed before is known after, nothing twice."""
    server = make_server("--appendfsync", "always")
    ledger = RedisLedger(server.url, timeout=2)
    held, settled, failures = [], [], []
    over = False

    async def customer() -> None:
        while not over:
            wanted = claim(time.time())
            try:
                assert await ledger.hold(wanted).wait() == Held(0)
                held.append(wanted)
                assert await settle(ledger, wanted, ANSWER).wait() is True
                settled.append(wanted)
            except LedgerError as error:
                failures.append(str(error))
                await asyncio.sleep(0.02)

    async def main() -> None:
        nonlocal over
        customers = [asyncio.create_task(customer()) for _ in range(16)]
        for _ in range(2):
            await asyncio.sleep(0.3)
            server.kill()
            await asyncio.sleep(0.2)
            await asyncio.to_thread(server.start)
        await asyncio.sleep(0.3)
        over = True
        await asyncio.gather(*customers)
        assert len(settled) > 50
        assert failures
        expected = {"it cannot be reached; is it running, and is its address right?"}
        expected.add("it is reading its data after a start; wait until it has")
        assert {failure.partition(": ")[2] for failure in failures} <= expected
        done = {each.payment_hash for each in settled}
        for each in held:
            again = claim(each.now + 1, like=each)
            if each.payment_hash in done:
                assert await settle(ledger, each).wait() is False
                assert await ledger.hold(again).wait() == Kept(ANSWER)
            else:
                # Whether its settle got through was not known; it did, or it does now, but not both.
                first = await settle(ledger, each, ANSWER).wait()
                assert await ledger.hold(again).wait() == Kept(ANSWER), first
            history = await ledger.history(each.payment_hash).wait()
            assert history is not None
            assert history.settled == 1

    asyncio.run(main())
    ledger.close()


# What a user reads when it fails


def text_of(error: LedgerError | ConfigurationError, log: pytest.LogCaptureFixture) -> str:
    """All that a log could have of a failure."""
    return "".join(traceback.format_exception(error)) + repr(error) + log.text


@pytest.mark.parametrize("policy", ["allkeys-lru", "allkeys-random", "volatile-ttl", "volatile-lfu"])
def test_a_server_that_evicts_is_refused(make_server: Callable[..., RedisServer], take: Take, policy: str) -> None:
    """A server that forgets keys when it is full is not used, whatever was accepted, until it is set right."""
    server = make_server("--maxmemory-policy", policy)
    choices: list[dict[str, Any]] = [{}, {"allow_volatile": True}, {"assume_durable": True}]
    for options in choices:
        ledger, held = RedisLedger(server.url, **options), claim(time.time())
        with pytest.raises(LedgerError, match=rf"redis\.sock: .*evicts.*{policy}.*maxmemory-policy noeviction"):
            take(ledger.hold(held))
        ledger.close()
        with server.client() as client:
            assert client.dbsize() == 0
    with server.client() as client:
        client.config_set("maxmemory-policy", "noeviction")
    assert take(ledger.hold(held)) == Held(0)
    ledger.close()


def test_a_server_without_a_file_is_refused(make_server: Callable[..., RedisServer], take: Take) -> None:
    """Without an append-only file a restart forgets what was spent, so that has to be accepted by name."""
    server = make_server("--appendonly", "no")
    ledger, held = RedisLedger(server.url), claim(time.time())
    for step in (ledger.hold(held), ledger.revoked(), ledger.count([]), ledger.history(held.payment_hash)):
        with pytest.raises(LedgerError, match=r"appendonly yes.*allow_volatile=True"):
            take(step)
    volatile = RedisLedger(server.url, allow_volatile=True)
    assert take(volatile.hold(held)) == Held(0)
    with server.client() as client:
        client.config_set("appendonly", "yes")
        while client.info("persistence")["aof_rewrite_in_progress"]:
            time.sleep(0.02)
    assert take(settle(ledger, held)) is True
    ledger.close()
    volatile.close()


USER = ["--user", "ledger", "on", f">{PASSWORD}", "~l402:*", "+@read", "+@write", "+@scripting", "+time"]


@pytest.mark.parametrize("options", [{"assume_durable": True}, {"allow_volatile": True}])
def test_a_server_that_does_not_tell_its_settings(
    make_server: Callable[..., RedisServer], caplog: pytest.LogCaptureFixture, options: dict[str, Any]
) -> None:
    """Where INFO is not permitted the operator has to vouch for the server, and a warning stays, once."""
    url = make_server(*USER).url.replace("unix://", "unix://ledger@")
    with pytest.raises(LedgerError, match=r"does not tell.*INFO.*noeviction.*appendonly yes.*assume_durable=True"):
        RedisLedger(url).hold(claim(time.time())).block()
    ledger = RedisLedger(url, **options)
    for _ in range(2):
        assert ledger.hold(claim(time.time())).block() == Held(0)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "does not tell" in caplog.text
    ledger.close()


def test_the_rights_that_are_named_are_enough(make_server: Callable[..., RedisServer], take: Take) -> None:
    """A user with the rights that the message names can take every step; one without is told which to grant."""
    server = make_server(*USER, "+info", "--user", "poor", "on", f">{PASSWORD}", "~l402:*", "+info")
    poor = RedisLedger(server.url.replace("unix://", "unix://poor@"))
    held = claim(time.time(), bought=2)
    with pytest.raises(LedgerError, match=r"~l402:\* \+@read \+@write \+@scripting \+info \+time"):
        take(poor.hold(held))
    ledger = RedisLedger(server.url.replace("unix://", "unix://ledger@"))
    assert take(ledger.hold(held)) == Held(1)
    assert take(ledger.renew(held.payment_hash, held.hold_id, held.lease_until + 1)) is True
    take(ledger.confirm(held.payment_hash, held.now))
    assert take(settle(ledger, held, ANSWER)) is True
    again = claim(held.now, bought=2, like=held)
    assert take(ledger.hold(again)) == Held(0, True)
    take(release(ledger, again))
    take(ledger.revoke(held.token_id))
    assert take(ledger.revoked()) == {held.token_id}
    assert take(ledger.hold(again)) == Revoked()
    take(ledger.count([Total(1, "GET /", "offered", 1)]))
    assert take(ledger.totals(0, 2)) == [Total(1, "GET /", "offered", 1)]
    assert take(ledger.history(held.payment_hash)) is not None
    poor.close()
    ledger.close()


@pytest.mark.parametrize("scheme", ["redis", "rediss", "unix", "settings"])
def test_no_failure_shows_the_password(
    server: RedisServer, take: Take, caplog: pytest.LogCaptureFixture, scheme: str
) -> None:
    """A wrong password, and TLS that is not there, are named; no password reaches a message or a log."""
    caplog.set_level(logging.DEBUG)
    addresses: dict[str, str | dict[str, Any]] = {
        "redis": f"redis://:wrong-{QUOTED}@127.0.0.1:{server.port}/0",
        "rediss": f"rediss://:wrong-{QUOTED}@127.0.0.1:{server.port}/0",
        "unix": f"unix://{server.socket}?password=wrong-{QUOTED}",
        "settings": {"unix_socket_path": server.socket, "password": f"wrong-{PASSWORD}"},
    }
    ledger = RedisLedger(addresses[scheme], timeout=0.5 if scheme == "rediss" else 5)
    with pytest.raises(LedgerError) as failed:
        take(ledger.hold(claim(time.time())))
    assert ("not one for TLS" if scheme == "rediss" else "refused the user name or password") in str(failed.value)
    assert "hunter2" not in text_of(failed.value, caplog) + repr(ledger)
    ledger.close()


def test_no_password_where_one_is_wanted(server: RedisServer) -> None:
    """A URL without the password is told from a server that is away."""
    with pytest.raises(LedgerError, match=rf"127\.0\.0\.1:{server.port}: it refused the user name or password"):
        RedisLedger(f"redis://127.0.0.1:{server.port}").hold(claim(time.time())).block()


def fill(client: Any) -> None:
    """Let its memory be full."""
    client.config_set("maxmemory", 1)


def unfill(client: Any) -> None:
    """Give it memory again."""
    client.config_set("maxmemory", 0)


def enslave(client: Any) -> None:
    """Make it a replica of nobody that answers."""
    client.replicaof("127.0.0.1", 1)


def free(client: Any) -> None:
    """Make it a primary again."""
    client.replicaof("NO", "ONE")


def occupy(client: Any) -> None:
    """Put another application's data where the totals go."""
    client.set(f"l402:{{ledger}}:totals:{day_of(time.time())}", "theirs")


def vacate(client: Any) -> None:
    """Take them away."""
    client.delete(f"l402:{{ledger}}:totals:{day_of(time.time())}")


def crowd(client: Any) -> None:
    """Let it take no further connections; the ledger's own ones have to go first."""
    client.config_set("maxclients", 1)
    client.client_kill_filter(_type="normal", skipme=True)


def admit(client: Any) -> None:
    """Let it take connections again."""
    client.config_set("maxclients", 100)


@pytest.mark.parametrize(
    ("spoil", "mend", "message"),
    [
        (fill, unfill, "its memory is full; raise its maxmemory"),
        (enslave, free, "it is a replica.*address of the primary"),
        (occupy, vacate, "keys that begin with l402: belong to another application.*prefix of its own"),
        (crowd, admit, "it has no connection left; raise its maxclients|is it running"),
    ],
)
def test_a_server_that_refuses(
    make_server: Callable[..., RedisServer],
    take: Take,
    spoil: Callable[[Any], None],
    mend: Callable[[Any], None],
    message: str,
) -> None:
    """Each refusal says where, what is wrong and what to do, changes nothing, and is over once its cause is."""
    server = make_server()
    ledger, held = RedisLedger(server.url, timeout=2), claim(time.time())
    assert take(ledger.hold(held)) == Held(0)
    with server.client() as client:
        spoil(client)
        with pytest.raises(LedgerError, match=message) as failed:
            take(settle(ledger, held, ANSWER, after=0))
        assert "redis.sock: " in str(failed.value)
        assert failed.value.__cause__ is None
        mend(client)
    assert take(ledger.hold(claim(held.now, like=held))) == Busy()
    assert take(settle(ledger, held, ANSWER, after=0)) is True
    today = day_of(held.now)
    delivered = [total for total in take(ledger.totals(today, today)) if total.what == "delivered"]
    assert delivered == [Total(today, held.endpoint, "delivered", 1)]
    ledger.close()


def test_a_server_that_still_reads_its_file(make_server: Callable[..., RedisServer]) -> None:
    """After a restart a server is away until it has read its data, and says so."""
    server = make_server("--aof-use-rdb-preamble", "no")
    ledger, held = RedisLedger(server.url), claim(time.time())
    assert ledger.hold(held).block() == Held(0)
    with server.client() as client, client.pipeline(transaction=False) as pipeline:
        for number in range(12_000):
            pipeline.set(f"filler{number}", "x")
        pipeline.execute()
    server.kill()
    # It answers after every 1024 commands that it reads.
    server.start("--key-load-delay", "30", wait=False)
    messages = set()
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            assert settle(ledger, held).block() is True
        except LedgerError as error:
            messages.add(str(error).partition(": ")[2])
        else:
            break
    assert "it is reading its data after a start; wait until it has" in messages
    ledger.close()


def test_a_server_that_is_not_there(tmp_path: Any, take: Take) -> None:
    """Case 48: where nothing listens the message names the address, and asks whether it runs."""
    for address in ("redis://127.0.0.1:1/0", f"unix://{tmp_path}/none.sock", "redis://nowhere.invalid"):
        ledger = RedisLedger(address)
        with pytest.raises(LedgerError, match=r"(127\.0\.0\.1:1|none\.sock|nowhere\.invalid:6379): .*is it running"):
            take(ledger.hold(claim(time.time())))
        ledger.close()


async def take_while_still(server: RedisServer, steps: list[Step[Any]]) -> tuple[list[str], list[float], float]:
    """Take `steps` at once while the server is stopped: what failed, how late the loop was, and how long it took."""
    lags, failures = [], []

    async def probe() -> None:
        while True:
            before = time.monotonic()
            await anyio.sleep(0.01)
            lags.append(time.monotonic() - before - 0.01)

    async def fail(step: Step[Any]) -> None:
        with pytest.raises(LedgerError) as failed:
            await step.wait()
        failures.append(str(failed.value))

    server.send(signal.SIGSTOP)
    async with anyio.create_task_group() as probing:
        probing.start_soon(probe)
        began = time.monotonic()
        async with anyio.create_task_group() as taking:
            for step in steps:
                taking.start_soon(fail, step)
        took = time.monotonic() - began
        probing.cancel_scope.cancel()
    server.send(signal.SIGCONT)
    return failures, lags, took


@pytest.mark.parametrize("connected", [False, True])
def test_a_server_that_stands_still(
    make_server: Callable[..., RedisServer], anyio_backend: str, connected: bool
) -> None:
    """Case 48: every step of a stopped server ends in time, no event loop waits for it, and all works afterwards."""
    server = make_server()
    ledger, now = RedisLedger(server.url, timeout=0.5), time.time()
    held = [claim(now) for _ in range(20)]

    async def main() -> None:
        if connected:
            for each in held:
                await ledger.hold(each).wait()
        steps = [settle(ledger, each) if connected else ledger.hold(each) for each in held]
        failures, lags, took = await take_while_still(server, steps)
        assert len(failures) == len(held)
        assert all("did not answer within 0.5 s" in failure for failure in failures), failures
        assert took < 2.5
        assert sorted(lags)[len(lags) * 9 // 10] < 0.1
        for each in held:
            if not connected:
                await release(ledger, each).wait()
                assert await ledger.hold(each).wait() == Held(0)
            # Whether the settle that failed came through was not known.
            await settle(ledger, each).wait()
            assert await ledger.hold(claim(now, like=each)).wait() == Spent()
            history = await ledger.history(each.payment_hash).wait()
            assert history is not None
            assert history.settled == 1

    anyio.run(main, backend=anyio_backend)
    ledger.close()


# Clusters


def test_a_cluster_accepts_every_step(make_server: Callable[..., RedisServer]) -> None:
    """A node that has all slots enforces the rule for keys, and every script keeps it; one without says so."""
    server = make_server("--cluster-enabled", "yes", "--cluster-port", str(free_port()))
    ledger, held = RedisLedger(server.url), claim(time.time())
    with pytest.raises(LedgerError, match="cluster"):
        ledger.hold(held).block()
    with server.client() as client:
        client.execute_command("CLUSTER ADDSLOTSRANGE", 0, 16383)
        deadline = time.monotonic() + 10
        while client.execute_command("CLUSTER INFO")["cluster_state"] != "ok":
            assert time.monotonic() < deadline
            time.sleep(0.05)
    assert ledger.hold(held).block() == Held(0)
    assert ledger.renew(held.payment_hash, held.hold_id, held.lease_until).block() is True
    assert settle(ledger, held, ANSWER).block() is True
    ledger.confirm(held.payment_hash, held.now).block()
    release(ledger, held).block()
    ledger.count([Total(1, "GET /", "offered", 1), Total(2, "GET /", "offered", 1)]).block()
    assert len(ledger.totals(1, 2).block()) == 2
    assert ledger.history(held.payment_hash).block() is not None
    ledger.close()


# Configuration


@pytest.mark.parametrize(
    "address",
    [
        "",
        "hunter2",
        "redis://:hunter2@127.0.0.1:port",
        "redis://:hunter2@127.0.0.1/0?socket_timeout=hunter2",
        "redis://127.0.0.1/0?hunter2=1",
        "http://:hunter2@127.0.0.1",
        {"hunter2": 1},
        {"host": "127.0.0.1", "hunter2": 1},
    ],
)
def test_an_address_that_names_no_server(address: Any, caplog: pytest.LogCaptureFixture) -> None:
    """An address that cannot work is refused at once, and nothing of it is repeated."""
    with pytest.raises(ConfigurationError, match=r"redis://.*rediss://.*unix://") as refused:
        RedisLedger(address)
    assert "hunter2" not in str(refused.value) + repr(refused.value) + caplog.text
    assert refused.value.__cause__ is None


def test_a_url_names_it(server: RedisServer) -> None:
    """What a setting names with redis:// or unix:// is a ledger on that server; rediss:// is known too."""
    held = claim(time.time())
    for url in (server.url, f"redis://:{QUOTED}@127.0.0.1:{server.port}/0"):
        ledger = ledger_from_url(url)
        assert ledger.hold(held).block() == (Held(0) if url == server.url else Busy())
        ledger.close()
    assert isinstance(ledger_from_url("rediss://127.0.0.1"), RedisLedger)


@pytest.mark.parametrize("url", ["decode_responses=true", "protocol=3", "max_connections=1", "health_check_interval=1"])
def test_options_that_would_break_a_ledger(server: RedisServer, take: Take, url: str) -> None:
    """Options of the redis package that a ledger decides itself are taken, and change nothing."""
    ledger, held = RedisLedger(f"{server.url}&{url}"), claim(time.time())
    assert take(ledger.hold(held)) == Held(0)
    assert take(settle(ledger, held, ANSWER)) is True
    assert take(ledger.hold(claim(held.now, like=held))) == Kept(ANSWER)
    ledger.close()


def test_without_the_redis_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the package is missing, the message says which extra brings it."""
    for module in ("redis", "redis_server"):
        monkeypatch.delitem(sys.modules, f"l402_middleware.ledgers.{module}", raising=False)
    monkeypatch.setitem(sys.modules, "redis", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'l402_middleware\[redis\]'"):
        ledger_from_url("redis://127.0.0.1")
