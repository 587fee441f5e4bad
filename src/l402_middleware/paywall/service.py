"""What a service says of itself to programs that look for something to buy."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from ..core.errors import ConfigurationError

OPENAPI: Final = "/openapi.json"
SERVICES: Final = "/.well-known/l402-services"
LLMS: Final = "/llms.txt"


@dataclass(frozen=True, slots=True)
class Service:
    """A service by its name, and where its documents are; `l402_middleware.discovery` serves them, free of charge.

    - `name`, `description`: for people, and for models that choose.
    - `url`: the public address of the application, such as "https://api.example.com"; without it the documents name
      paths, which count from where they were found.
    - `homepage`, `docs`: addresses of pages about it. `contact`: an address for questions. `operator`: who runs it.
    - `categories`: words under which an index may list it.
    - `openapi`, `services`, `llms`: the paths of the three documents, below the application's mount; None for a
      document that is not wanted.

    Raises `ConfigurationError` for what cannot be one.
    """

    name: str
    description: str = ""
    url: str | None = None
    homepage: str | None = None
    docs: str | None = None
    contact: str | None = None
    operator: str | None = None
    categories: Sequence[str] = ()
    openapi: str | None = OPENAPI
    services: str | None = SERVICES
    llms: str | None = LLMS

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name.strip():
            raise ConfigurationError(f"Service needs a name for people, not {self.name!r}")
        for setting in ("url", "homepage", "docs"):
            value = getattr(self, setting)
            if value is not None and not (isinstance(value, str) and value.startswith(("https://", "http://"))):
                raise ConfigurationError(f"Service({setting}={value!r}): give an address that begins with https://")
        if isinstance(self.categories, str):
            raise ConfigurationError(f"Service(categories={self.categories!r}): give a list of words")
        for path in (self.openapi, self.services, self.llms):
            if path is not None and not (isinstance(path, str) and path.startswith("/") and "?" not in path):
                raise ConfigurationError(f"Service: the path {path!r} of a document must begin with a slash")

    @property
    def paths(self) -> tuple[str, ...]:
        """Where its documents are."""
        return tuple(path for path in (self.openapi, self.services, self.llms) if path is not None)


def service_from_text(value: Any) -> Service:
    """A service from a setting: "Weather: forecasts for every town", or one that is a `Service` already."""
    if isinstance(value, Service):
        return value
    name, _, description = str(value).partition(":")
    return Service(name.strip(), description.strip())
