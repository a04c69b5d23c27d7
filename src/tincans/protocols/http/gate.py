"""Who may come in: the right key, and no page of another site in a browser of ours.

Rules of this file
- A key is compared in constant time, with every key there is.
- A browser says which site a page is from (Origin); without `cors` no other site's page is answered. A name that was
  made to point at this machine (DNS rebinding) is no name of this server (Host).
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping

from msgspec.structs import replace

from tincans.protocols.http.problems import Problem
from tincans.protocols.http.visit import Settings, Visit

_METHODS = b"GET, HEAD, POST, OPTIONS"
_HEADERS = b"authorization, content-type, tincans-timeout"
_ONE_DAY = b"86400"


def admit(visit: Visit, settings: Settings) -> None:
    """Let it in, with the name of its key, or raise Problem (401, 403)."""
    headers = visit.headers
    if settings.hosts is not None and _name(headers.get(b"host", b"")) not in settings.hosts:
        raise Problem(
            403, "This server is not addressed by that name. Use the address that it was started with.", "denied"
        )
    origin = headers.get(b"origin")
    if origin is not None:
        _admit_page(visit, settings, origin)
    if settings.keys and not _is_preflight(visit):
        name = key_name(settings.keys, headers.get(b"authorization", b""))
        if name is None:
            raise Problem(
                401,
                "A key is needed: send the header 'Authorization: Bearer KEY'.",
                "denied",
                www_authenticate="Bearer",
            )
        visit.caller = replace(visit.caller, key_name=name)


def key_name(keys: Mapping[str, bytes], shown: bytes) -> str | None:
    """The name of the key in an Authorization header; None when it is none of ours.

    >>> key_name({"bob": b"s"}, b"Bearer s"), key_name({"bob": b"s"}, b"Bearer x")
    ('bob', None)
    """
    scheme, _, key = shown.partition(b" ")
    found = None
    for name, known in keys.items():
        if hmac.compare_digest(key.strip(), known):
            found = name
    return found if scheme.lower() == b"bearer" else None


def _name(host: bytes) -> str:
    """A Host header without its port."""
    text = host.decode("latin-1").lower()
    if text.startswith("["):
        return text.partition("]")[0] + "]"
    return text.partition(":")[0]


def _admit_page(visit: Visit, settings: Settings, origin: bytes) -> None:
    allowed = origin.decode("latin-1")
    if "*" in settings.cors or allowed in settings.cors:
        visit.add_header(b"access-control-allow-origin", origin)
        visit.add_header(b"vary", b"origin")
        if _is_preflight(visit):
            visit.add_header(b"access-control-allow-methods", _METHODS)
            visit.add_header(b"access-control-allow-headers", _HEADERS)
            visit.add_header(b"access-control-max-age", _ONE_DAY)
        return
    if origin.partition(b"://")[2] != visit.headers.get(b"host"):
        raise Problem(
            403, "Pages of other sites may not call this server; its option cors names those that may.", "denied"
        )


def _is_preflight(visit: Visit) -> bool:
    return visit.method == "OPTIONS" and b"access-control-request-method" in visit.headers
