"""Where what a URL names lies on this machine: at a path, or under a name in the private runtime directory."""

from __future__ import annotations

from pathlib import Path

from tincans.core.address import Address
from tincans.errors import AddressError
from tincans.toolkit.files.runtime_directory import path_of


def local_path(address: Address, *, suffix: str, example: str) -> Path:
    """An absolute path. AddressError for a host, and for what names nothing; `example` says how it is written.

    >>> from tincans.core.address import parse
    >>> local_path(parse("file:/srv/alice.json"), suffix=".json", example="file:/directory/name.json").name
    'alice.json'
    """
    if address.host or address.port is not None:
        raise AddressError(f"{address.method}: is for this machine, so {address} can have no host.", url=str(address))
    if "/" not in address.path:
        return path_of(address.path, suffix)
    if "\0" in address.path or not Path(address.path).name:
        raise AddressError(f"{address.path!r} names nothing here. Say {example}.", url=str(address))
    return Path(address.path).absolute()
