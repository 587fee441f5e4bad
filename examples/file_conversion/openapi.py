"""What the service offers, for machines: an OpenAPI 3.1 document, made from the catalogue."""

from typing import Any

from .catalogue import ALIASES, MAX_FILE_BYTES, MIB, PAIRS
from .shop import PATHS

OPENAPI_PATH = "/openapi.json"

_JSON = "application/json"
_PROBLEM = "application/problem+json"
_BREAKS = r"[\r\n]*"
_DIGIT = f"[A-Za-z0-9+/]{_BREAKS}"
_PAD = f"={_BREAKS}"
_BASE64 = (
    f"^(data:[^,]{{0,255}};base64,)?({_DIGIT}{_DIGIT}{_DIGIT}{_DIGIT})*"
    f"({_DIGIT}{_DIGIT}{_PAD}{_PAD}|{_DIGIT}{_DIGIT}{_DIGIT}{_PAD}|{_DIGIT}{_DIGIT}{_DIGIT}{_DIGIT})$"
)
_SOURCES = sorted({source for source, _ in PAIRS})
_TARGETS = sorted({target for _, target in PAIRS})

_SMALLEST_PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="

_SECONDS = {"type": "string", "pattern": "^[0-9]+$"}
_RETRY_AFTER = {"Retry-After": {"description": "Seconds to wait.", "required": True, "schema": _SECONDS}}

_SCHEMAS: dict[str, Any] = {
    "Order": {
        "type": "object",
        "required": ["file", "file_name", "extensionFrom", "extensionTo"],
        "properties": {
            "file": {
                "type": "string",
                "contentEncoding": "base64",
                "pattern": _BASE64,
                "description": f"The file, up to {MAX_FILE_BYTES // MIB} MiB; a data URI's prefix and line breaks are "
                "passed over.",
            },
            "file_name": {"type": "string", "description": "What you call it, for the name of the download."},
            "extensionFrom": {
                "type": "string",
                "description": f"What it is: one of {', '.join(_SOURCES)}; case, a leading dot and aliases "
                f"({', '.join(ALIASES)}) do not matter.",
                "examples": ["docx"],
            },
            "extensionTo": {
                "type": "string",
                "description": f"What it shall become: one of {', '.join(_TARGETS)}. GET says which pairs there are.",
                "examples": ["pdf"],
            },
        },
    },
    "Offers": {
        "type": "object",
        "required": ["max_file_bytes", "price", "seconds", "aliases", "conversions"],
        "properties": {
            "max_file_bytes": {"type": "integer"},
            "price": {"type": "string", "description": "How the price of an order follows from the two numbers."},
            "seconds": {"type": "string", "description": "What the figure of a conversion means."},
            "aliases": {"type": "object", "additionalProperties": {"enum": sorted(set(ALIASES.values()))}},
            "conversions": {
                "type": "object",
                "description": "Source, target, and what that costs.",
                "propertyNames": {"enum": _SOURCES},
                "additionalProperties": {
                    "type": "object",
                    "propertyNames": {"enum": _TARGETS},
                    "additionalProperties": {"$ref": "#/components/schemas/Price"},
                },
            },
        },
    },
    "Price": {
        "type": "object",
        "required": ["base_sats", "sats_per_mib", "engine", "seconds"],
        "properties": {
            "base_sats": {"type": "integer", "minimum": 1},
            "sats_per_mib": {"type": "integer", "minimum": 0},
            "engine": {"type": "string", "description": "What converts it."},
            "seconds": {"type": "integer", "minimum": 1, "description": "The longest that it may take."},
        },
        "additionalProperties": False,
    },
    "Quote": {
        "type": "object",
        "required": ["extensionFrom", "extensionTo", "bytes", "sats"],
        "properties": {
            "extensionFrom": {"enum": _SOURCES},
            "extensionTo": {"enum": _TARGETS},
            "bytes": {"type": "integer", "minimum": 1},
            "sats": {"type": "integer", "minimum": 1},
        },
        "additionalProperties": False,
    },
    "Link": {
        "type": "object",
        "required": ["url"],
        "properties": {
            "url": {"type": "string", "format": "uri", "description": "The result, for an hour."},
            "notes": {
                "type": "array",
                "items": {"type": "string"},
                "minItems": 1,
                "description": "What the target cannot hold, a sentence each; absent where nothing was lost.",
            },
        },
        "additionalProperties": False,
    },
    "Problem": {
        "type": "object",
        "description": "RFC 9457. `code` is stable, for programs; `title` is for people.",
        "required": ["type", "title", "status", "code"],
        "properties": {
            "type": {"type": "string", "pattern": "^urn:l402:problem:"},
            "title": {"type": "string"},
            "status": {"type": "integer"},
            "code": {"type": "string", "pattern": "^[a-z0-9]+(-[a-z0-9]+)*$"},
        },
    },
    "Challenge": {
        "description": "Pay the invoice, then repeat the same request with the macaroon and the preimage.",
        "allOf": [{"$ref": "#/components/schemas/Problem"}],
        "required": ["macaroon", "invoice", "payment_hash", "amount_sats", "amount_msat", "expires_at"],
        "properties": {
            "status": {"const": 402},
            "macaroon": {"type": "string"},
            "invoice": {"type": "string", "pattern": "^ln", "description": "BOLT 11."},
            "payment_hash": {"type": "string", "pattern": "^[0-9a-f]{64}$"},
            "amount_sats": {"type": "integer", "minimum": 1, "description": "The price, rounded up to whole sats."},
            "amount_msat": {"type": "integer", "minimum": 1},
            "expires_at": {"type": "integer", "description": "Unix seconds; the invoice can be paid until then."},
        },
    },
}


def document() -> dict[str, Any]:
    """The document, ready for JSON."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "File conversion",
            "version": "1",
            "description": "Converts a file for a few sats, paid over Lightning with L402 (bLIP 26).",
        },
        "paths": {
            **{path: {"get": _offers(path), "post": _convert(path)} for path in PATHS},
            "/files/{identity}/{name}": {"get": _download()},
            OPENAPI_PATH: {
                "get": {
                    "operationId": "document",
                    "summary": "This document",
                    "responses": {"200": _answer("This document.", {"type": "object", "required": ["openapi"]})},
                }
            },
        },
        "components": {
            "schemas": _SCHEMAS,
            "securitySchemes": {
                "l402": {
                    "type": "http",
                    "scheme": "L402",
                    "description": "`Authorization: L402 <macaroon>:<preimage>`, both from paying a 402; good for "
                    "exactly the request that was quoted.",
                }
            },
        },
    }


def _offers(path: str) -> dict[str, Any]:
    return {
        "operationId": f"offers{_suffix(path)}",
        "summary": "What can be converted, and for how much",
        "description": "With a pair and a size: what that would cost, without an invoice.",
        "parameters": [
            _optional("extensionFrom", {"type": "string"}),
            _optional("extensionTo", {"type": "string"}),
            _optional("bytes", {"type": "integer", "minimum": 1, "maximum": MAX_FILE_BYTES}),
        ],
        "responses": {
            "200": _answer(
                "Limits, aliases, pairs and prices; or the quote.", {"oneOf": [_named("Offers"), _named("Quote")]}
            ),
            "413": _problem("A size beyond the limit."),
            "422": _problem("A quote without the size, or no such pair."),
        },
    }


def _suffix(path: str) -> str:
    return "" if path == PATHS[0] else "-at-convert-file"


def _optional(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "in": "query", "required": False, "schema": schema}


def _convert(path: str) -> dict[str, Any]:
    order = {"file": _SMALLEST_PNG, "file_name": "dot.png", "extensionFrom": "png", "extensionTo": "webp"}
    challenge = {
        "WWW-Authenticate": {
            "description": "L402 macaroon, invoice, version and token.",
            "required": True,
            "schema": {"type": "string", "pattern": '^L402 macaroon="[^"]+", invoice="[^"]+"'},
        }
    }
    return {
        "operationId": f"convert{_suffix(path)}",
        "summary": "Convert a file",
        "description": "Unpaid, the answer is a 402; what cannot succeed is refused before that. The price depends on "
        "the pair and on each begun MiB.",
        "security": [{"l402": []}],
        "requestBody": {
            "required": True,
            "content": {_JSON: {"schema": _named("Order"), "examples": {"a dot": {"value": order}}}},
        },
        "responses": {
            "200": _answer("Converted.", _named("Link")),
            "400": _problem("The body is not such an order, or its file no base64."),
            "402": _answer("To be paid, with a fresh invoice.", _named("Challenge"), challenge, _PROBLEM),
            "409": _problem("Another request with this credential is running.", _RETRY_AFTER),
            "411": _problem("Neither a length nor chunks: where the body ends cannot be known."),
            "413": _problem("The file is too large, or would be once it is unpacked."),
            "415": _problem("A compressed or a multipart body: the price is for the exact bytes."),
            "422": _problem(
                "No such pair; the file is not what `extensionFrom` says; or, paid, it is damaged. Nothing is charged."
            ),
            "429": _problem("Too many unpaid orders from one address.", _RETRY_AFTER),
            "503": _problem("Not now: no invoice, no room for results, or no public address. Nothing is charged."),
        },
    }


def _download() -> dict[str, Any]:
    return {
        "operationId": "download",
        "summary": "Fetch a result",
        "description": "Take the whole address from the answer to an order; it is signed.",
        "parameters": [
            _parameter("identity", "path", "^[A-Za-z0-9_-]{22}$"),
            _parameter("name", "path", r'^[^/\\<>:"|?*;%\x00-\x1f\x7f]{1,80}\.[a-z0-9]{2,4}$'),
            _parameter("exp", "query", "^[0-9]{1,12}$"),
            _parameter("sig", "query", "^[0-9a-f]{64}$"),
        ],
        "responses": {
            "200": {"description": "The file.", "content": {"*/*": {}}},
            "404": _problem("There is no such file, or the address is not complete."),
            "410": _problem("The link has expired."),
        },
    }


def _parameter(name: str, place: str, pattern: str) -> dict[str, Any]:
    return {"name": name, "in": place, "required": True, "schema": {"type": "string", "pattern": pattern}}


def _named(schema: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{schema}"}


def _answer(
    description: str, schema: dict[str, Any], headers: dict[str, Any] | None = None, media_type: str = _JSON
) -> dict[str, Any]:
    return {"description": description, "headers": headers or {}, "content": {media_type: {"schema": schema}}}


def _problem(description: str, headers: dict[str, Any] | None = None) -> dict[str, Any]:
    return _answer(description, _named("Problem"), headers, _PROBLEM)
