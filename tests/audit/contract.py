"""What the audit must say of a framework's routes: one suite over each framework's own table."""

from collections.abc import Callable
from typing import Any, TypeAlias

import pytest

from l402_middleware.audit import Finding, audit

from .holes import statuses

# Its name, what makes the application, and what the audit must say of each route.
Row: TypeAlias = tuple[str, Callable[[], Any], dict[str, str]]


def each(rows: list[Row]) -> pytest.MarkDecorator:
    """The tests, for each row of a table."""
    return pytest.mark.parametrize(("make", "expected"), [pytest.param(*row[1:], id=row[0]) for row in rows])


class RoutesContract:
    given: tuple[int, ...] = (200,)
    """What may be answered where nothing is sold."""

    def answer(self, app: Any, finding: Finding) -> int | None:
        """The status of an unpaid request for that route; None where the route cannot be asked."""
        raise NotImplementedError

    def test_every_route_is_seen(self, make: Callable[[], Any], expected: dict[str, str]) -> None:
        """Case 66: every kind of route, however deep and however wrapped, has its line, with what it is."""
        assert statuses(audit(make())) == expected

    def test_what_is_priced_is_refused_unpaid_and_what_is_free_is_not(
        self, make: Callable[[], Any], expected: dict[str, str]
    ) -> None:
        """Case 66: the same is true of the running application, route by route."""
        app = make()
        for finding in audit(app):
            status = self.answer(app, finding)
            if status is not None:
                assert status in ((402,) if expected[str(finding)] == "priced" else self.given), str(finding)
