"""The methods that the conformance suite runs on: one line each. `{name}` is a fresh name, `{port}` a free port."""

METHODS = [
    "memory:{name}",
    "unix:{name}",
    "{name}",
    "shm:{name}",
    "pipe:{name}",
    "tcp://127.0.0.1:0",
    "tcp://127.0.0.1:0?key=a-shared-secret&key_name=bob",
    "stdio:{python} -m tincans.conformance.program stdio:",
    "json+unix:{name}",
    "text+unix:{name}",
]
