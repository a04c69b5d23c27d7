"""Certificates for the tests of TLS, made anew for each run: no private key is in the repository.

Rules of this file
- `authority.pem` signs `server.pem` (127.0.0.1 and localhost) and `client.pem`; the latter two hold their keys as well.
- The directory goes when the program ends.
"""

from __future__ import annotations

import atexit
import shutil
import tempfile
from functools import cache
from pathlib import Path

import trustme


@cache
def certificates() -> Path:
    """The directory with the three files."""
    place = Path(tempfile.mkdtemp(prefix="tincans-certificates-"))
    atexit.register(shutil.rmtree, place, ignore_errors=True)
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(place / "authority.pem"))
    for name, hosts in (("server", ["127.0.0.1", "localhost"]), ("client", ["client.invalid"])):
        authority.issue_cert(*hosts).private_key_and_cert_chain_pem.write_to_path(str(place / f"{name}.pem"))
    return place
