"""A URL, parsed once: `[wire+]method://place/name?option=value`, and a bare name for `local:name`.

Rules of this file
- Pure text work: nothing is looked up, resolved or opened here.
- An unknown option is an error that names it and lists the valid ones (`Address.settings`).
- `str(address)` masks secrets, so that an address may be shown anywhere.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from msgspec import Struct, field

from tincans.errors import AddressError

_BARE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\-]{0,99}")
_SCHEME = re.compile(r"(?:([a-z][a-z0-9_]*)\+)?([a-z][a-z0-9_]*):(.*)", re.DOTALL)
_SECRETS = frozenset({"authkey", "key", "password", "token", "secret"})
_TRUE = {"1", "true", "yes", "on"}
_FALSE = {"0", "false", "no", "off"}


class Option(Struct, frozen=True):
    """One option of a method: its type, its default, and one line about it with its unit.

    `kind` is one of str, int, float, bool; sizes in bytes accept a suffix: `64k`, `256M`, `1G`.
    """

    kind: type
    default: Any
    about: str
    choices: tuple[str, ...] = ()


class Address(Struct, frozen=True):
    """A parsed URL. `method` is the scheme (never empty), `wire` the word before `+` or "".

    `host` and `port` are set for `//host:port` forms; `path` is what follows (for `unix:stats`: "stats",
    for `tcp://h:1/x`: "/x", for `stdio:python worker.py`: "python worker.py"). `options` are the raw texts.
    """

    method: str
    wire: str = ""
    host: str = ""
    port: int | None = None
    path: str = ""
    user: str = ""
    password: str = ""
    options: Mapping[str, str] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"Address({str(self)!r})"

    def __str__(self) -> str:
        start = f"{self.wire}+{self.method}:" if self.wire else f"{self.method}:"
        place = self.path
        if self.host or self.port is not None:
            from urllib.parse import quote

            login = f"{quote(self.user)}{':***' if self.password else ''}@" if self.user or self.password else ""
            host = f"[{self.host}]" if ":" in self.host else self.host
            port = "" if self.port is None else f":{self.port}"
            place = f"//{login}{host}{port}{self.path}"
        shown = "&".join(f"{k}={'***' if k in _SECRETS else v}" for k, v in self.options.items())
        return f"{start}{place}?{shown}" if shown else f"{start}{place}"

    def settings(self, valid: Mapping[str, Option]) -> dict[str, Any]:
        """The options with their types and defaults; AddressError for one that is not in `valid`.

        >>> parse("tcp://localhost:1?nodelay=no").settings({"nodelay": Option(bool, True, "")})
        {'nodelay': False}
        """
        for name in self.options:
            if name not in valid:
                import difflib  # for unknown words only

                close = difflib.get_close_matches(name, valid, 1)
                hint = f" Did you mean {close[0]!r}?" if close else ""
                known = ", ".join(sorted(valid)) or "none"
                raise AddressError(
                    f"{self.method} has no option {name!r}.{hint} Valid options: {known}.", url=str(self)
                )
        settings = {name: option.default for name, option in valid.items()}
        for name, text in self.options.items():
            settings[name] = self._typed(name, text, valid[name])
        return settings

    def _typed(self, name: str, text: str, option: Option) -> Any:
        try:
            value = _convert(text, option.kind)
        except ValueError:
            raise AddressError(
                f"The option {name}={text!r} of {self.method} is not {_ARTICLE[option.kind]}.", url=str(self)
            ) from None
        if option.choices and value not in option.choices:
            raise AddressError(
                f"The option {name}={text!r} of {self.method} must be one of {', '.join(option.choices)}.",
                url=str(self),
            )
        return value


_ARTICLE = {int: "a whole number", float: "a number", bool: "yes or no", str: "a text"}
_SIZES = {"k": 1024, "M": 1024**2, "G": 1024**3}


def _convert(text: str, kind: type) -> Any:
    if kind is bool:
        if text.lower() in _TRUE | _FALSE:
            return text.lower() in _TRUE
        raise ValueError(text)
    if kind is int and text[-1:] in _SIZES:
        return int(text[:-1]) * _SIZES[text[-1]]
    return kind(text)


def parse(url: str) -> Address:
    """Parse a URL or a bare name.

    >>> parse("alice").method
    'local'
    >>> a = parse("json+tcp://127.0.0.1:9000?key=s")
    >>> a.wire, a.host, a.port, str(a)
    ('json', '127.0.0.1', 9000, 'json+tcp://127.0.0.1:9000?key=***')
    """
    if not isinstance(url, str):
        raise AddressError(f"An address is a text such as 'alice' or 'unix:alice', not {type(url).__name__}.")
    if _BARE_NAME.fullmatch(url):
        return Address("local", path=url)
    match = _SCHEME.fullmatch(url)
    if match is None:
        raise AddressError(
            f"{url!r} is neither a name (letters, digits, '_', '-', '.'; at most 100) nor a URL such as 'unix:alice'."
        )
    wire, method, rest = match.group(1) or "", match.group(2), match.group(3)
    place, _, query = rest.partition("?")
    options = _options(url, query)
    if not place.startswith("//"):
        return Address(method, wire, path=_unquoted(place), options=options)
    from urllib.parse import unquote, urlsplit  # a bare name does not need them, and they cost as much as a wire

    try:
        split = urlsplit(f"x:{place}")
        port = split.port
    except ValueError as error:
        raise AddressError(f"The address {method}:{place} cannot be read: {error}.") from None
    return Address(
        method,
        wire,
        host=split.hostname or "",
        port=port,
        path=unquote(split.path),
        user=unquote(split.username or ""),
        password=unquote(split.password or ""),
        options=options,
    )


def _unquoted(text: str) -> str:
    if "%" not in text:
        return text
    from urllib.parse import unquote

    return unquote(text)


def _options(url: str, query: str) -> dict[str, str]:
    options: dict[str, str] = {}
    if not query:
        return options
    from urllib.parse import parse_qsl

    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query))
    except ValueError:
        raise AddressError(f"The options {query!r} are not of the form name=value&name=value.") from None
    for name, value in pairs:
        if name in options:
            raise AddressError(f"The option {name!r} is given twice.")
        options[name] = value
    return options
