"""The methods that the conformance suite runs on: one line each, and the servers that some of them need.

`{name}` is a fresh name, `{port}` a free port, `{dir}` a fresh directory, any other word a server's place in SERVERS.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

from servers.redis import redis

SERVERS: dict[str, Callable[[], AbstractContextManager[str]]] = {"redis": redis}
"""Each starts one server and gives its place, such as "127.0.0.1:6379"; FileNotFoundError names one that is
not installed, and the command that brings it."""

METHODS = [
    "memory:{name}",
    "unix:{name}",
    "{name}",
    "shm:{name}",
    "pipe:{name}",
    "tcp://127.0.0.1:0",
    "tcp://127.0.0.1:0?key=a-shared-secret&key_name=bob",
    "http://127.0.0.1:0",
    "http://127.0.0.1:0?key=a-shared-secret&key_name=bob",
    "jsonrpc+http://127.0.0.1:0",
    "xmlrpc+http://127.0.0.1:0",
    "stdio:{python} -m tincans.conformance.program stdio:",
    "mq:{name}",
    "mp://127.0.0.1:0?authkey=a-shared-secret",
    "mp:{name}",
    "json+unix:{name}",
    "text+unix:{name}",
    "redis://{redis}/0/{name}",
    "json+redis://{redis}/1/{name}",
    "text+redis://{redis}/2/{name}",
    "json+redis://{redis}/3",
    "text+redis://{redis}/4",
    "sqlite:{dir}/alice.db",
    "json+sqlite:{dir}/alice.db",
    "file:{dir}/board.json",
    "mmap:{dir}/board",
    "text+mmap:{dir}/line",
    "signal:{dir}/flags",
    "jsonrpc+tcp://127.0.0.1:0",
    "jsonrpc+unix:{name}",
    "jsonrpc+pipe:{name}?framing=content-length",
]
