"""Shared keys from a URL: `?key=SECRET`, `?key_name=NAME&key=SECRET`, or `?key_file=PATH`.

Rules of this file
- A key file has one `name secret` per line; it must belong to us and be closed to others, or it is refused.
- A connecting program uses the key of its `key_name` (the first one of a file otherwise).
"""

from __future__ import annotations

import os
import stat

from tincans.core.address import Address
from tincans.errors import AddressError, DeniedError


def keys_of(address: Address) -> dict[str, bytes]:
    """The keys that a URL names, by name; empty without any."""
    options = address.options
    name = options.get("key_name", "")
    if "key" in options and "key_file" in options:
        raise AddressError("Give either key or key_file, not both.", url=str(address))
    if "key" in options:
        if not options["key"]:
            raise AddressError("The key is empty.", url=str(address))
        return {name: options["key"].encode()}
    if "key_file" not in options:
        return {}
    keys = _load(options["key_file"], str(address))
    if not name:
        return keys
    if name not in keys:
        raise AddressError(f"The key file has no key {name!r}.", url=str(address))
    return {name: keys[name]}


def _load(path: str, url: str) -> dict[str, bytes]:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise AddressError(f"The key file {path} cannot be read: {error.strerror}.", url=url) from None
    with os.fdopen(fd, encoding="utf-8") as file:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & 0o077:
            raise DeniedError(
                f"The key file {path} must be a plain file of yours that others cannot read: chmod 600 {path}", url=url
            )
        lines = [line.split(maxsplit=1) for line in file if line.strip() and not line.startswith("#")]
    if not lines or any(len(line) != 2 for line in lines):
        raise AddressError(f"The key file {path} needs lines of the form: name secret", url=url)
    return {name: secret.strip().encode() for name, secret in lines}
