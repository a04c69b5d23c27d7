"""Mutated JSON-RPC into a conversation and its wire: `python tests/fuzz/json_rpc.py COUNT [SEED]`.

Rules of this file
- Nothing but ProtocolError may come out; every call that is handed on can be answered; memory stays in proportion.
- Every answer that leaves is JSON-RPC, and has an id that was asked with, or null.
"""

from __future__ import annotations

import json
import random
import sys

from tincans.core.json_rpc_conversation import Conversation
from tincans.core.messages import Reply, Request
from tincans.errors import ProtocolError
from tincans.wires.jsonrpc import WIRE

WORDS = [
    b'{"jsonrpc":"2.0","method":"a","params":[1],"id":1}',
    b'{"jsonrpc":"2.0","method":"a","params":{"$args":[1],"b":2},"id":"x"}',
    b'{"jsonrpc":"2.0","method":"a"}',
    b'[{"jsonrpc":"2.0","method":"a","id":null},{"jsonrpc":"2.0","method":"b","id":1.5}]',
    b'{"jsonrpc":"2.0","method":"$/cancelRequest","params":{"id":1}}',
    b'{"jsonrpc":"2.0","method":"$/item","params":{"id":2,"value":{"$tuple":[1]}}}',
    b'{"jsonrpc":"2.0","method":"$/credit","params":{"id":1,"count":5}}',
    b'{"jsonrpc":"2.0","method":"$/end","params":{"id":9}}',
    b'{"jsonrpc":"2.0","result":{"$stream":true},"id":2}',
    b'{"jsonrpc":"2.0","error":{"code":-32601,"message":"no"},"id":2}',
    b"[]", b"[1,[]]", b"[[1,2]]", b"{", b"\xff", b"null", b'"', b"[" * 3000,
]  # fmt: skip
PIECES = [b'"id":', b"null", b"-1", b"1e400", b"[", b"]", b"{", b"}", b'"', b"\\u0000", b",", b"$/", b"\n", b"9" * 30]


def fuzz(count: int, seed: int) -> int:
    """Hold `count` conversations; how many requests were handed on."""
    chance = random.Random(seed)
    handed_on = 0
    for number in range(count):
        try:
            handed_on += _hold(chance)
        except Exception as error:
            raise AssertionError(f"seed {seed}, round {number}") from error
    return handed_on


def _hold(chance: random.Random) -> int:
    conversation = Conversation(connecting=chance.random() < 0.3, max_message=100_000)
    texts = [_mutated(chance, chance.choice(WORDS)) for _ in range(chance.randrange(1, 6))]
    if (chance.random() < 0.4 and not conversation.idle) or chance.random() < 0.4:
        stream = b"".join(b"Content-Length: %d\r\n\r\n%b" % (len(text), text) for text in texts)
        stream = _mutated(chance, stream) if chance.random() < 0.3 else stream
    else:
        stream = b"\n".join(texts) + b"\n"
    handed_on, at = 0, 0
    try:
        while at < len(stream):
            step = chance.choice((1, 7, 100, 100_000))
            conversation.hear(stream[at : at + step])
            at += step
            handed_on += _answer_all(chance, conversation)
    except ProtocolError:
        pass
    return handed_on


def _answer_all(chance: random.Random, conversation: Conversation) -> int:
    requests = []
    while conversation.messages:
        try:
            message = WIRE.decode([conversation.messages.popleft()])
        except ProtocolError:
            continue
        if isinstance(message, Request) and message.id:
            requests.append(message)
    chance.shuffle(requests)
    said = [conversation.say(bytes(WIRE.encode(Reply(request.id, [1, "two"]))[0])) for request in requests]
    for data in [*said, *conversation.owed]:
        if data:
            answer = json.loads(data.partition(b"\r\n\r\n")[2] if data.startswith(b"Content-Length") else data)
            for one in answer if isinstance(answer, list) else [answer]:
                assert one["jsonrpc"] == "2.0" and "id" in one and ("result" in one) is not ("error" in one), one
    conversation.owed.clear()
    return len(requests)


def _mutated(chance: random.Random, text: bytes) -> bytes:
    data = bytearray(text)
    for _ in range(chance.choice((0, 0, 1, 2))):
        at = chance.randrange(len(data) + 1)
        if chance.random() < 0.5:
            data[at:at] = chance.choice(PIECES)
        else:
            del data[at : at + chance.randrange(8)]
    return bytes(data)


if __name__ == "__main__":
    amount = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    start = int(sys.argv[2]) if len(sys.argv) > 2 else random.SystemRandom().randrange(1 << 32)
    print(f"json-rpc: {amount} conversations, {fuzz(amount, start)} calls handed on, seed {start}")
