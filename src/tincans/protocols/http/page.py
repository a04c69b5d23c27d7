"""The page that shows what can be called: plain HTML, nothing fetched from anywhere, no script.

Rules of this file
- Pure. Whatever comes from a docstring is text, never markup.
"""

from __future__ import annotations

from html import escape

from tincans.core.interface import Function, Interface
from tincans.protocols.http.query import can_be_asked

POLICY = b"default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'"
"""The Content-Security-Policy: not even a mistake in this file could load or run something."""

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 52rem; margin: 2rem auto; padding: 0 1rem; color: #222 }
h1 { font-size: 1.4rem } h2 { font: 600 1.05rem/1.4 ui-monospace, monospace; margin: 2rem 0 .3rem }
code, pre { font-family: ui-monospace, monospace; font-size: .9rem; background: #f3f3f0; border-radius: 4px }
code { padding: .1rem .3rem } pre { padding: .6rem .8rem; overflow-x: auto; white-space: pre-wrap }
td { padding: .1rem 1rem .1rem 0; vertical-align: top } a { color: #06c }
@media (prefers-color-scheme: dark) { body { background: #1b1b1b; color: #ddd } code, pre { background: #2a2a2a }
a { color: #8bf } }
"""


def page(interface: Interface, *, title: str) -> bytes:
    """The whole page.

    >>> b"&lt;b&gt;" in page(Interface((Function("f", "f()", summary="<b>"),)), title="t")
    True
    """
    functions = "\n".join(_section(each) for each in interface.functions) or "<p>Nothing is exposed yet.</p>"
    text = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head><body>'
        f"<h1>{escape(title)}</h1><p>What can be called here: by POST with the arguments as JSON, by GET where it says"
        ' so, by JSON-RPC 2.0 at <code>jsonrpc</code>, by XML-RPC at <code>RPC2</code>. For programs: <a href="'
        f'openapi.json">openapi.json</a>.</p>{functions}</body></html>'
    )
    return text.encode("utf-8", "replace")


def _section(function: Function) -> str:
    rows = "".join(
        f"<tr><td><code>{escape(each.name)}</code></td><td>{escape(each.type)}</td><td>{escape(each.about)}</td></tr>"
        for each in function.parameters or ()
    )
    ways = "POST, GET" if can_be_asked(function) else "POST"
    kind = " &middot; a stream of events" if function.streams else ""
    text = f"<pre>{escape(function.text)}</pre>" if function.text and function.text != function.summary else ""
    return (
        f'<section><h2 id="{escape(function.name)}">{escape(function.signature)}</h2>'
        f"<p>{escape(function.summary)} <small>{ways} <code>/{escape(function.name)}</code>{kind}</small></p>"
        f"{text}{f'<table>{rows}</table>' if rows else ''}</section>"
    )
