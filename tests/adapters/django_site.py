"""The small shop in Django, for both of its handlers; see whole_asgi."""

from typing import Any

import django
from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path

from .scenario import record, shown


def configure() -> None:
    """Set Django up, which is done once in a process."""
    if not settings.configured:
        settings.configure(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], SECRET_KEY="not secret", DEBUG=False)
        django.setup()


def paid(request: HttpRequest) -> HttpResponse:
    """What was paid, as either handler tells it."""
    record(request.path)
    scope: Any = getattr(request, "scope", None)
    payment = request.META["l402_middleware.payment"] if scope is None else scope["state"]["l402"]
    return JsonResponse(shown(payment))


def echo(request: HttpRequest) -> HttpResponse:
    """A body."""
    record("/echo")
    return HttpResponse(request.body)


def answer(request: HttpRequest, status: int) -> HttpResponse:
    """A status."""
    record(f"/status/{status}")
    return HttpResponse(status=status)


urlpatterns = [
    path("free", paid),
    path("free/ünï", paid),
    path("paid", paid),
    path("echo", echo),
    path("status/<int:status>", answer),
]
