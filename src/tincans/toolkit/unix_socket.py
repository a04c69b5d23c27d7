"""Unix stream sockets at a path: connecting, and listening under a lock; what `unix:` and `local:` share.

Rules of this file
- The kernel says who is at the other end (SO_PEERCRED), at the time it connected or began to listen.
- One live program holds a path, by a lock beside it; what a killed one left there is removed, and nothing else ever is:
  not a file that is no socket, not a socket somebody else has put there meanwhile.
- The socket is 0600 from the moment it exists.
"""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from tincans.contracts import Framing, Identity
from tincans.core.address import Option
from tincans.errors import AddressError, DeniedError, NameInUseError, TincansError, UnreachableError
from tincans.toolkit import memory_pool, socket_platform
from tincans.toolkit.byte_stream import MAX_MESSAGE
from tincans.toolkit.descriptor_passing import passing_for
from tincans.toolkit.files import name_lock
from tincans.toolkit.files.private_file import refused
from tincans.toolkit.files.runtime_directory import runtime_directory, sweep
from tincans.toolkit.socket_listener import BACKLOG, Admit, SocketListener
from tincans.toolkit.unix_stream import UnixStream

_LONGEST_PATH: Final = 107 if socket_platform.LINUX else 103
"""Bytes: sun_path of unix(7) is 108 long (104 on macOS), with a closing zero."""

OPTIONS: Final = {
    "max_message": Option(int, MAX_MESSAGE, "largest message in bytes"),
    "users": Option(
        str, "same", "who may be at the other end: the same user and root, or any", choices=("same", "any")
    ),
    "descriptors": Option(bool, True, "pass buffers of 1 MiB and more as shared memory"),
    "pool": Option(int, 0, "most bytes of shared memory that this program takes for such buffers; 0: a quarter of all"),
}


def identity_of(stream: socket.socket) -> Identity:
    """Who is at the other end of a Unix socket, as the kernel knows."""
    pid, uid = socket_platform.peer_of(stream)
    return Identity(pid=pid, uid=uid, address=f"pid {pid}, user {uid}")


def admitted(identity: Identity, users: str) -> bool:
    """Whether the peer may talk to us: the same user, root (who could become that user), or anyone by `users=any`.

    >>> admitted(Identity(uid=os.geteuid()), "same"), admitted(Identity(uid=54321), "same")
    (True, False)
    """
    return users == "any" or identity.uid in (0, os.geteuid())


def connect_stream(
    path: Path, settings: Mapping[str, Any], framing: Framing, *, url: str, timeout: float
) -> UnixStream:
    """A connection to the program that listens at `path`; `settings` are the typed OPTIONS."""
    memory_pool.bound(settings)
    stream, identity = connect(path, url=url, users=settings["users"], timeout=timeout)
    return byte_stream(stream, identity, settings, framing, url)


def listen_streams(path: Path, settings: Mapping[str, Any], framing: Framing, *, url: str) -> SocketListener:
    """Listen at `path`, under its lock, for those whom the option `users` lets in."""

    memory_pool.bound(settings)

    def admit(stream: socket.socket) -> UnixStream | None:
        identity = identity_of(stream)
        return byte_stream(stream, identity, settings, framing, url) if admitted(identity, settings["users"]) else None

    return listen(path, url=url, users=settings["users"], admit=admit)


def byte_stream(
    stream: socket.socket, identity: Identity, settings: Mapping[str, Any], framing: Framing, url: str
) -> UnixStream:
    """Messages over a connected socket, with large parts by descriptor where the settings allow it."""
    passing = passing_for(identity) if settings["descriptors"] else None
    return UnixStream(stream, framing, identity=identity, url=url, max_message=settings["max_message"], passing=passing)


def connect(path: Path, *, url: str, users: str, timeout: float) -> tuple[socket.socket, Identity]:
    """A connected socket and who listens there. UnreachableError at once when nobody does."""
    _check_length(path, url)
    stream = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        socket_platform.set_connect_timeout(stream, timeout)
        _connect(stream, path, url)
        identity = identity_of(stream)
        if not admitted(identity, users):
            raise DeniedError(
                f"{path} is served by user {identity.uid}, not by you ({os.geteuid()}). Check the path, or trust"
                " whoever serves there with ?users=any.",
                url=url,
            )
    except BaseException:
        stream.close()
        raise
    return stream, identity


def _connect(stream: socket.socket, path: Path, url: str) -> None:
    try:
        stream.connect(os.fspath(path))
    except (FileNotFoundError, ConnectionRefusedError, NotADirectoryError) as error:
        raise UnreachableError(f"No program serves {path}. Start the server, or check the name.", url=url) from error
    except BlockingIOError as error:
        raise UnreachableError(f"The program that serves {path} takes no more connections now.", url=url) from error
    except PermissionError as error:
        raise DeniedError(
            f"This user ({os.geteuid()}) may not connect to {path}. Ask its owner, or serve your own.", url=url
        ) from error
    except OSError as error:
        raise UnreachableError(f"{path} cannot be connected to: {error.strerror}.", url=url) from error


def listen(path: Path, *, url: str, users: str, admit: Admit) -> SocketListener:
    """Listen at `path`. NameInUseError when a live program does, DeniedError for something else that stands there."""
    _check_length(path, url)
    try:
        lock = name_lock.acquire(path.with_name(path.name + ".lock"), {"url": url})
    except TincansError as error:
        error.url = url
        raise
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _sweep_around(path)
        _remove_stale(path, url)
        _bind(listening, path, url, mode=0o666 if users == "any" else 0o600)
        listening.listen(BACKLOG)
        return SocketListener(listening, url, admit, _releaser(path, lock))
    except BaseException:
        listening.close()
        lock.release()
        raise


def _bind(listening: socket.socket, path: Path, url: str, *, mode: int) -> None:
    try:
        os.fchmod(listening.fileno(), mode & 0o600)  # Linux makes the file with the mode of the unbound socket
        listening.bind(os.fspath(path))
        path.chmod(mode)
    except OSError as error:
        raise _with_url(refused(path, error), url) from error


def _releaser(path: Path, lock: name_lock.NameLock) -> Callable[[], None]:
    """What removes our socket file and gives up the name."""
    made = path.lstat()

    def release() -> None:
        try:
            if os.path.samestat(made, path.lstat()):
                path.unlink()
        except OSError:
            pass  # gone already, or its directory is
        lock.release()

    return release


def _sweep_around(path: Path) -> None:
    """Remove what killed programs left in the runtime directory, when that is where we are. It is only a courtesy."""
    with suppress(TincansError, OSError):
        if path.parent == runtime_directory():
            sweep()


def _remove_stale(path: Path, url: str) -> None:
    """Make way where a killed program's socket still stands. We hold the lock; but not everybody asks for it."""
    try:
        status = path.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(status.st_mode) or status.st_uid != os.geteuid():
        raise DeniedError(
            f"{path} is there already and is not a socket of this user; it was left alone. Choose another name, or"
            " remove it if it is not needed.",
            url=url,
        )
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(os.fspath(path))
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)
            return
        except BlockingIOError:
            pass  # somebody lives there and has a full backlog
        except OSError as error:
            raise _with_url(refused(path, error), url) from error
    raise NameInUseError(f"{path} is served by another live program. Choose another name, or end that one.", url=url)


def _check_length(path: Path, url: str) -> None:
    size = len(os.fsencode(path))
    if size > _LONGEST_PATH:
        raise AddressError(
            f"The path {path} has {size} bytes; a Unix socket allows {_LONGEST_PATH}. Use a shorter name,"
            " or a shorter directory (TINCANS_RUNTIME_DIR).",
            url=url,
        )


def _with_url(error: TincansError, url: str) -> TincansError:
    error.url = url
    return error
