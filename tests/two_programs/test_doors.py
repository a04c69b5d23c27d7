"""Who may come in: other users, wrong keys, recordings; and who the kernel says it is.

Rules of this file
- Another user is a program that gave up root for uid 65534, so these tests need root, which CI has.
- A method that another user could reach by a path of its own is reached so here: the runtime directory is closed.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from certificates import certificates
from two_programs.programs import FACES, METHODS, Stage, method_id

import tincans
from tincans.toolkit.files.runtime_directory import runtime_directory

NOBODY = 65534
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become another user")
both_faces = pytest.mark.parametrize("face", FACES)
sync = pytest.mark.parametrize("face", ["sync"])
keyed = pytest.mark.parametrize("method", ["tcp://127.0.0.1:{port}?key=a-shared-secret&key_name=bob"], ids=method_id)

INTRUDER = """
import json, os, socket, sys, tincans
from tincans.core.address import parse
from tincans.toolkit.files.runtime_directory import path_of
tincans.connect(sys.argv[1]).close()  # what nobody may import is imported
address = parse(sys.argv[1])
suffix = {"unix": ".sock", "local": ".local", "pipe": ".fifo"}[address.method]
path = address.path if address.path.startswith("/") else str(path_of(address.path, suffix))
os.setgroups([]); os.setgid(65534); os.setuid(65534)
os.environ["TINCANS_RUNTIME_DIR"] = sys.argv[2]
try:
    tincans.connect(sys.argv[1], timeout=1).call.add(2, 5)
    outcome = "in"
except tincans.TincansError as error:
    outcome = type(error).__name__
try:
    if address.method == "pipe":
        os.open(path, os.O_WRONLY | os.O_NONBLOCK)
    else:
        socket.socket(socket.AF_UNIX).connect(path)
    knocked = "in"
except PermissionError:
    knocked = "kept out"
seen = []
for directory, _, names in os.walk(sys.argv[2]):
    seen += names
try:
    os.symlink("/etc/passwd", sys.argv[2] + "/planted.sock")
    planted = True
except OSError:
    planted = False
print(json.dumps({"said": "tried", "outcome": outcome, "knocked": knocked, "seen": seen, "planted": planted}))
"""


@pytest.fixture
def open_place() -> Iterator[Path]:
    """A directory that everybody may enter and write to, as /tmp is, and with the sticky bit as there."""
    import tempfile

    with tempfile.TemporaryDirectory(prefix="tincans-open-") as place:
        Path(place).chmod(0o1777)
        yield Path(place)


@as_root
@sync
@pytest.mark.parametrize("method", ["unix:{name}", "{name}", "pipe:{name}"], ids=method_id)
def test_another_user_can_neither_connect_nor_look_nor_plant_in_the_runtime_directory(stage: Stage) -> None:
    stage.alice()
    tried = stage.start("-c", INTRUDER, stage.url, str(runtime_directory())).said("tried")
    assert (tried["outcome"], tried["knocked"]) == ("DeniedError", "kept out")
    assert tried["seen"] == []
    assert tried["planted"] is False


@as_root
@sync
@pytest.mark.parametrize("scheme", ["unix", "pipe"])
@pytest.mark.parametrize("method", ["unix:{name}"], ids=method_id)
def test_another_user_cannot_connect_at_a_path_that_it_can_reach(stage: Stage, scheme: str, open_place: Path) -> None:
    url = f"{scheme}:{open_place}/alice"
    alice = stage.alice(url=url)
    tried = stage.start("-c", INTRUDER, url, str(open_place)).said("tried")
    assert (tried["outcome"], tried["knocked"]) == ("DeniedError", "kept out")
    alice.process.terminate()
    assert alice.ended() == 0


@as_root
@sync
@pytest.mark.parametrize("scheme", ["unix", "pipe"])
@pytest.mark.parametrize("suffix", ["", ".lock"])
@pytest.mark.parametrize("method", ["unix:{name}"], ids=method_id)
def test_a_planted_symlink_is_not_followed(scheme: str, suffix: str, open_place: Path, stage: Stage) -> None:
    victim = open_place / "victim"
    victim.write_text("untouched")
    victim.chmod(0o600)
    planted = open_place / f"alice{suffix}"
    planted.symlink_to(victim)
    os.lchown(planted, NOBODY, NOBODY)
    with pytest.raises(tincans.TincansError):
        tincans.serve(f"{scheme}:{open_place}/alice")
    assert victim.read_text() == "untouched"
    assert victim.stat().st_mode & 0o777 == 0o600
    assert planted.is_symlink()


@as_root
@sync
@pytest.mark.parametrize("method", ["unix:{name}"], ids=method_id)
def test_a_runtime_directory_of_another_user_is_refused(
    stage: Stage, open_place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = open_place / "tincans"
    theirs.mkdir()
    os.chown(theirs, NOBODY, NOBODY)
    monkeypatch.setenv("TINCANS_RUNTIME_DIR", str(theirs))
    with pytest.raises(tincans.DeniedError, match="belongs to user"):
        tincans.serve(stage.url)
    linked = open_place / "linked"
    linked.symlink_to(open_place)
    monkeypatch.setenv("TINCANS_RUNTIME_DIR", str(linked))
    with pytest.raises(tincans.DeniedError):
        tincans.serve(stage.url)


@both_faces
@pytest.mark.parametrize("method", ["unix:{name}", "{name}", "json+unix:{name}"], ids=method_id)
def test_the_caller_is_who_the_kernel_says(stage: Stage) -> None:
    _alice, bob, _pid = stage.pair()
    assert bob.ask("call", "who") == {"pid": bob.pid, "uid": os.geteuid(), "key_name": ""}


@both_faces
@keyed
def test_the_right_key_comes_in_and_its_name_is_known(stage: Stage) -> None:
    _alice, bob, _pid = stage.pair()
    assert bob.ask("call", "who") == {"pid": None, "uid": None, "key_name": "bob"}


@both_faces
@keyed
@pytest.mark.parametrize("query", ["?key=a-wrong-one&key_name=bob", "?key=a-shared-secret&key_name=eve", ""])
def test_a_wrong_or_missing_key_is_denied_at_once(stage: Stage, query: str) -> None:
    bob = stage.bob()
    stage.alice()
    report = bob.do("connect", stage.url.partition("?")[0] + query, 10.0).wait()
    assert report["error"] == "DeniedError"
    assert report["at"] - report["began"] < 5


class Recorder:
    """Stands between Bob and Alice and writes down what Bob said."""

    def __init__(self, port: int) -> None:
        self.said = bytearray()
        self._port = port
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        near, _ = self._listening.accept()
        far = socket.create_connection(("127.0.0.1", self._port))
        threading.Thread(target=self._pass, args=(far, near, None), daemon=True).start()
        self._pass(near, far, self.said)

    def _pass(self, here: socket.socket, there: socket.socket, kept: bytearray | None) -> None:
        with contextlib.suppress(OSError):  # the other way round has ended, and closed both
            while data := here.recv(65536):
                if kept is not None:
                    kept += data
                there.sendall(data)
        there.close()

    def close(self) -> None:
        """No more."""
        self._listening.close()


@sync
@keyed
def test_a_recorded_greeting_lets_nobody_in(stage: Stage) -> None:
    alice = stage.alice()
    place, _, query = stage.url.partition("?")
    port = int(place.rpartition(":")[2])
    recorder = Recorder(port)
    with tincans.connect(f"tcp://127.0.0.1:{recorder.port}?{query}") as bob:
        bob.notify.note("said once")
        assert bob.call.noted() == ["said once"]
    recorder.close()
    with socket.create_connection(("127.0.0.1", port)) as replay:
        replay.settimeout(10)
        replay.sendall(recorder.said)
        while replay.recv(65536):
            pass  # its own half of the greeting, then the end
    with tincans.connect(stage.url) as bob:
        assert bob.call.noted() == ["said once"]
    assert alice.process.poll() is None


CERTIFICATES = certificates()
TLS = f"?tls=yes&cert={CERTIFICATES}/server.pem"


@both_faces
@pytest.mark.parametrize("method", ["tcp://127.0.0.1:{port}" + TLS], ids=method_id)
def test_tls_is_believed_only_with_a_known_signer(stage: Stage) -> None:
    bob = stage.bob()
    stage.alice()
    place = stage.url.partition("?")[0]
    bob.ask("connect", f"{place}?tls=yes&ca={CERTIFICATES}/authority.pem")
    assert bob.ask("call", "add", 2, 5) == 7
    for query in ("?tls=yes", ""):
        report = bob.do("connect", place + query, 1.0).wait()
        assert report["error"] in ("DeniedError", "UnreachableError", "ProtocolError")


@sync
@pytest.mark.parametrize("method", METHODS, ids=method_id)
def test_a_second_server_of_the_same_name_is_refused_and_harms_nothing(stage: Stage) -> None:
    stage.alice()
    with tincans.connect(stage.url) as bob:
        with pytest.raises(tincans.NameInUseError):
            tincans.serve(stage.url)
        assert bob.call.add(2, 5) == 7
