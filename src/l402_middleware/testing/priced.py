"""The audit as a test."""

from collections.abc import Collection

from ..audit import Exceptions, audit


def assert_priced(app: object, except_: Collection[str] = ()) -> None:
    """Pass only if every route of `app` is priced, and guarded by a paywall, but for those in `except_`.

    An entry is "/path", for all methods there, or "GET /path"; paths are the templates that `l402 routes` prints. An
    entry that matches no route, or a priced one, fails too. The `AssertionError` gives each route's reason and
    remedy. Raises `ConfigurationError` where `app` is no application, or `except_` no list of routes.
    """
    __tracebackhide__ = True
    exceptions = Exceptions(except_)
    findings = audit(app)
    wrong = [
        f"{finding}: {finding.verdict.reason}\n    mend it: {finding.verdict.remedy}"
        for finding in findings
        if finding.verdict.status != "priced" and not exceptions.cover(finding)
    ]
    wrong += exceptions.stale(findings)
    if not findings:
        wrong.append("the application has no routes: was it put together before this test looked at it?")
    if wrong:
        raise AssertionError("\n".join([f"findings on what is not priced: {len(wrong)}", *wrong]))
