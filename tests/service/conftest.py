"""What the service's tests share: files to convert, both applications in process, and real servers."""

import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from io import BytesIO
from pathlib import Path

import pytest
from file_conversion.shop import Shop
from imageio_ffmpeg import get_ffmpeg_exe
from PIL import Image

from l402_middleware import Paywall
from l402_middleware.core.keys import generate_key

from .customer import Customer, order
from .in_process import CountingNode, Service, WatchedSandbox, flask_client, starlette_client
from .server import GUNICORN, ROOT, UVICORN, Server, serving


@pytest.fixture(scope="session")
def docx() -> bytes:
    """A document that Word made."""
    return (ROOT / "tests" / "conversion" / "corpus" / "word-made.docx").read_bytes()


@pytest.fixture(scope="session")
def png() -> bytes:
    """A picture of 96 by 64 pixels."""
    file = BytesIO()
    Image.radial_gradient("L").resize((96, 64)).convert("RGB").save(file, "PNG")
    return file.getvalue()


@pytest.fixture(scope="session")
def png_to_webp(png: bytes) -> bytes:
    """The cheapest order."""
    return order(png, "png", "webp")


@pytest.fixture(scope="session")
def broken_png(png: bytes) -> bytes:
    """A picture whose header is right and whose rest is not: only converting it shows that."""
    return png[:60] + bytes(len(png) - 60)


@pytest.fixture(scope="session")
def mp4(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Two seconds of a test picture with a tone."""
    made = tmp_path_factory.mktemp("movie") / "made.mp4"
    picture = ["-f", "lavfi", "-i", "testsrc=size=96x64:rate=10:duration=2"]
    tone = ["-f", "lavfi", "-i", "sine=frequency=440:duration=2"]
    subprocess.run([get_ffmpeg_exe(), "-loglevel", "error", *picture, *tone, "-pix_fmt", "yuv420p", made], check=True)
    return made.read_bytes()


@pytest.fixture(params=[starlette_client, flask_client], ids=["starlette", "flask"])
def make_service(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[..., Service]]:
    """Open a service in process, in one framework and then in the other; takes what `Shop` takes beside its folder."""
    with ExitStack() as opened:

        def open_service(**settings: str) -> Service:
            node, ledger = CountingNode(), tmp_path / "l402.db"
            shop = Shop(tmp_path, **settings)
            shop.sandbox = sandbox = WatchedSandbox(tmp_path)
            # With a key of its own, a service that only refuses opens no ledger.
            paywall = Paywall(node, f"sqlite:///{ledger}", secret_keys=[generate_key()])
            opened.callback(paywall.close)
            http = opened.enter_context(request.param(shop, paywall))
            return Service(Customer(http), shop, sandbox, node, ledger)

        yield open_service


@pytest.fixture
def service(make_service: Callable[..., Service]) -> Service:
    """The service as it starts on a developer's machine."""
    return make_service()


@pytest.fixture(scope="module", params=[UVICORN, GUNICORN], ids=["uvicorn", "gunicorn"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A real server of three workers, once uvicorn with Starlette and once gunicorn with Flask."""
    with serving(request.param, tmp_path_factory.mktemp("server"), workers=3) as running:
        yield running
