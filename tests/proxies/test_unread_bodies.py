"""An answer that comes before its request's body was read reaches the client, through nginx and without it."""

import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NoReturn

import pytest

from .processes import free_port, nginx, shop

pytestmark = pytest.mark.slow

SERVERS = {
    "uvicorn-h11": (("uvicorn", "{app}:create", "--factory", "--port", "{port}", "--http", "h11"), "starlette_shop"),
    "uvicorn": (("uvicorn", "{app}:create", "--factory", "--port", "{port}", "--http", "httptools"), "starlette_shop"),
    "gunicorn-sync": (("gunicorn", "{app}:create()", "-b", "127.0.0.1:{port}", "-k", "sync"), "flask_shop"),
    "gunicorn": (("gunicorn", "{app}:create()", "-b", "127.0.0.1:{port}", "-k", "gthread"), "flask_shop"),
}

PROXY = """
    server {{
        listen 127.0.0.1:{port};
        client_max_body_size 64m;
        location / {{ proxy_pass http://127.0.0.1:{upstream}; }}
        location /at-once/ {{
            proxy_pass http://127.0.0.1:{upstream}/;
            proxy_http_version 1.1;
            proxy_request_buffering off;
        }}
    }}
"""

TIMES = 8


@dataclass(frozen=True)
class Doors:
    """Where a shop is: behind nginx, and at its own port."""

    proxied: str
    direct: str


@pytest.fixture(scope="module", params=SERVERS)
def doors(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    skip_or_fail: Callable[[str], NoReturn],
) -> Iterator[Doors]:
    """A shop behind nginx."""
    folder = tmp_path_factory.mktemp(request.param)
    with shop(*SERVERS[request.param], folder) as upstream:
        port = free_port()
        with nginx(PROXY.format(port=port, upstream=upstream), port, folder, skip_or_fail):
            yield Doors(f"http://127.0.0.1:{port}", f"http://127.0.0.1:{upstream}")


def statuses(url: str, body: bytes) -> list[int]:
    """What so many posts of that body are answered with; 0 where the connection broke."""
    found = []
    for _ in range(TIMES):
        request = urllib.request.Request(url, body, {"Content-Type": "application/octet-stream"}, method="POST")
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                found.append(answer.status)
        except urllib.error.HTTPError as error:
            found.append(error.code if error.read() else 0)
        except OSError:
            found.append(0)
    return found


@pytest.mark.parametrize(("path", "status"), [("/upload", 402), ("/exact", 413)])
@pytest.mark.parametrize("size", [100_000, 4_000_000, 15_000_000])
@pytest.mark.parametrize("door", ["", "/at-once", "direct"])
def test_early_answers(doors: Doors, door: str, size: int, path: str, status: int) -> None:
    """A 402 before the body, and a 413 in the middle of it, arrive each time, with the body of a request of some MB."""
    url = doors.direct if door == "direct" else doors.proxied + door
    assert statuses(url + path, bytes(size)) == [status] * TIMES
