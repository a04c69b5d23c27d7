"""Servers that are not ours, from the standard library alone: `python tests/interop/foreign.py WHAT`; prints the port.

Rules of this file
- `xmlrpc` is SimpleXMLRPCServer, `jsonrpc` and `openapi` are as plain as such servers come.
"""

from __future__ import annotations

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit
from xmlrpc.server import SimpleXMLRPCServer

DOCUMENT: dict[str, Any] = {
    "openapi": "3.0.3",
    "servers": [{"url": "https://pets.example/v1"}],
    "paths": {
        "/pets/{petId}": {
            "parameters": [{"$ref": "#/components/parameters/pet"}],
            "get": {
                "operationId": "get-pet",
                "summary": "One pet.",
                "parameters": [
                    {"name": "tags", "in": "query", "schema": {"type": "array", "items": {"type": "string"}}}
                ],
                "responses": {"200": {"description": "", "content": {"application/json": {"schema": {}}}}},
            },
            "put": {
                "operationId": "putPet",
                "requestBody": {
                    "required": True,
                    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Pet"}}},
                },
                "responses": {"204": {"description": ""}},
            },
        },
    },
    "components": {
        "parameters": {"pet": {"name": "petId", "in": "path", "required": True, "schema": {"type": "integer"}}},
        "schemas": {"Pet": {"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}}}},
    },
}


class Handler(BaseHTTPRequestHandler):
    """Both kinds, by path."""

    protocol_version = "HTTP/1.1"
    pets: ClassVar[dict[str, Any]] = {}

    def do_GET(self) -> None:
        split = urlsplit(self.path)
        if split.path == "/docs/openapi.json":
            self.answer(200, DOCUMENT)
        elif split.path.startswith("/v1/pets/") and split.path.rpartition("/")[2] in self.pets:
            pet = self.pets[split.path.rpartition("/")[2]]
            self.answer(200, {"name": pet, "tags": parse_qs(split.query).get("tags", [])})
        else:
            self.answer(404, {"detail": "no such pet"})

    def do_PUT(self) -> None:
        self.pets[self.path.rpartition("/")[2]] = json.loads(self.body())["name"]
        self.send_response(204)
        self.end_headers()

    def do_POST(self) -> None:
        """JSON-RPC: `add` only."""
        call = json.loads(self.body())
        if call["method"] == "add":
            self.answer(200, {"jsonrpc": "2.0", "result": sum(call["params"]), "id": call["id"]})
        else:
            self.answer(200, {"jsonrpc": "2.0", "error": {"code": -32601, "message": "what?"}, "id": call["id"]})

    def body(self) -> bytes:
        return self.rfile.read(int(self.headers["Content-Length"]))

    def answer(self, status: int, value: Any) -> None:
        data = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json; charset=utf-8")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        pass


def main(what: str) -> None:
    """Serve for ever."""
    if what == "xmlrpc":
        server: Any = SimpleXMLRPCServer(("127.0.0.1", 0), logRequests=False, allow_none=True)
        server.register_introspection_functions()
        server.register_function(lambda a, b: a + b, "add")
        server.register_function(lambda text: int(text), "number")
        server.register_function(lambda value: value, "echo")
    else:
        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    print(server.server_address[1], flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main(sys.argv[1])
