"""The text wire: one line per call, for people with netcat and for shell scripts.

Rules of this file
- `add 2 5` is answered by `7`; `greet name="Bob" 3` by `Hello Bob`; a failure by `! ValueError: text`; a stream by one
  line `- value` each, after a first line `-` and before a last line `.`; `ping` by `pong`.
- A word is JSON when it can be read as JSON, else it is the text itself. Texts with blanks, `=` or a quote in
  them stand in double quotes. `name=value` is a keyword argument. Values beyond JSON look as in the json wire.
- There are no ids: every message has the id 1, and a server answers one line after the other, in order.
- So a line cannot say whether it is a call or an answer: WIRE hears calls, `WIRE.for_caller` hears answers.
- Deadlines and tracebacks are not said. Everything else that lines cannot say is refused, with the reason.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, Literal

import msgspec
from msgspec import Raw

from tincans.contracts import Buffer, Parts, Reader, References
from tincans.core.envelope import to_parts
from tincans.core.failures import CODES
from tincans.core.messages import End, Failure, Item, Message, Ping, Pong, Reply, Request
from tincans.core.values import Lowering
from tincans.errors import ProtocolError, UnsendableError
from tincans.facts import Facts, No
from tincans.wires.json import FORM, looks_rich
from tincans.wires.json import WIRE as JSON_WIRE

_NO_IDS = "a line of text has no id, so nothing but calls, answered in order, can be told apart"

FACTS = Facts(
    "one line per call, for people with netcat and for shell scripts",
    publish=No(_NO_IDS, "json"),
    queue=No(_NO_IDS, "json"),
    state=No(_NO_IDS, "json"),
    flag=No(_NO_IDS, "json"),
    lock=No(_NO_IDS, "json"),
    share=No("a line of text holds no large buffers", "json"),
    order="one call after the other",
    reach="network",
    two_way=False,
)

_ID = 1
_KEYWORD = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)=")
_BLANKS = " \t"
_BLANK = re.compile("[ \t]")
_quoted = msgspec.json.Encoder().encode
_parsed = msgspec.json.Decoder().decode
_extent = json.JSONDecoder().raw_decode


@dataclass(frozen=True)
class TextWire:
    """A contracts.Wire: words on a line. `hears` says what `decode` takes a line for.

    >>> request = WIRE.decode([b'greet Bob times=3'])
    >>> request.name, bytes(request.args), bytes(request.kwargs)
    ('greet', b'["Bob"]', b'{"times":3}')
    >>> WIRE.encode(Reply(1, "Hello Bob"))
    [b'Hello Bob']
    """

    hears: Literal["calls", "answers"] = "calls"
    name = "text"
    facts = FACTS
    framing = "lines"
    greets = False
    in_order = True

    @property
    def for_caller(self) -> TextWire:
        """The same wire for the side that calls: its `decode` takes each line for an answer."""
        return TextWire("answers")

    def encode(self, message: Message, references: References | None = None) -> list[Buffer]:
        """One line, without its newline. UnsendableError for what no line can say."""
        return to_parts(message, FORM, None, _write)

    def decode(self, parts: Parts) -> Message:
        """A call or an answer, its bodies as JSON in msgspec.Raw. ProtocolError for anything else."""
        try:
            (line,) = parts
            text = str(line, "utf-8").rstrip("\r")
            return _hear_call(text) if self.hears == "calls" else _hear_answer(text)
        except Exception as error:
            raise ProtocolError(f"This is no line of the text wire: {error}") from None

    def reader(self, type: Any, references: References | None = None) -> Reader:
        """As in the json wire: `read(body, message)` gives the body as `type`."""
        return JSON_WIRE.reader(type)

    def pack(self, value: Any) -> bytes:
        """One value alone: a text as it is, anything else as JSON.

        >>> WIRE.pack("sunny"), WIRE.pack(5), WIRE.unpack(b"5"), WIRE.unpack(b"sunny day")
        (b'sunny', b'5', 5, 'sunny day')
        """
        (line,) = self.encode(Reply(_ID, value))
        return bytes(line)

    def unpack(self, data: Buffer) -> Any:
        """The value of a line: what reads as JSON, else the text itself. ProtocolError when it is no text."""
        try:
            text = str(data, "utf-8")
        except UnicodeDecodeError as error:
            raise ProtocolError(f"This is no text: {error}") from None
        return JSON_WIRE.unpack(_answer(text))


def _write(message: Message, low: Lowering) -> bytes:
    match message:
        case Request():
            return _say_call(message).encode()
        case Reply(stream=True):
            return b"-"
        case Reply():
            return _say(message.value).encode()
        case Item():
            return f"- {_say(message.value)}".encode()
        case Failure():
            text = " ".join(message.message.split("\n"))
            return f"! {_one_word(message.type_name)}: {''.join(c if c.isprintable() else ' ' for c in text)}".encode()
        case End():
            return b"."
        case Ping():
            return b"ping"
        case Pong():
            return b"pong"
    raise UnsendableError(
        f"The text wire cannot say {type(message).__name__}: {_NO_IDS}. Use the json wire, as in json+tcp://..."
    )


def _one_word(name: str) -> str:
    return name if name.isprintable() and name and not set(name) & {" ", ":"} else "Exception"


def _say_call(request: Request[Any]) -> str:
    name = request.name
    if not name or not name.isprintable() or " " in name or (name == "ping" and not request.args):
        raise UnsendableError(f"The text wire cannot call {name!r}: it must be one word, and not only 'ping'.")
    if not request.id:
        raise UnsendableError("The text wire cannot say notify: every line is answered. Use call, or the json wire.")
    if request.key is not None:
        raise UnsendableError("The text wire cannot repeat a call safely: it has no keys. Use the json wire.")
    words = [name, *map(_say_word, request.args)]
    for key, value in (request.kwargs or {}).items():
        if not _KEYWORD.fullmatch(f"{key}="):
            raise UnsendableError(f"kwargs[{key!r}] cannot be sent: on the text wire a keyword is one plain word.")
        words.append(f"{key}={_say_word(value)}")
    return " ".join(words)


def _say_word(value: Any) -> str:
    if type(value) is str and not set(value) & {" ", "="} and _is_bare(value):
        return value
    return _quoted(value).decode()


def _say(value: Any) -> str:
    """A result: a text bare when nobody could take it for something else, anything else as JSON."""
    return value if type(value) is str and _is_bare(value) else _quoted(value).decode()


def _is_bare(text: str) -> bool:
    if not text or not text.isprintable() or text != text.strip() or text[0] in '"[{!-.' or text in ("ping", "pong"):
        return False
    return not _is_json(text)


def _is_json(text: str) -> bool:
    try:
        _parsed(text)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return False
    return True


def _hear_call(line: str) -> Message:
    line = line.strip(_BLANKS)
    if line in ("", "ping"):
        return Ping()
    name, _, rest = line.partition(" ")
    args: list[bytes] = []
    kwargs: dict[str, bytes] = {}
    place = 0
    while place < len(rest):
        if rest[place] in _BLANKS:
            place += 1
            continue
        keyword = _KEYWORD.match(rest, place)
        word, place = _hear_word(rest, keyword.end() if keyword else place)
        if keyword is None:
            args.append(word)
        elif keyword[1] in kwargs:
            raise ValueError(f"the keyword {keyword[1]} stands twice")
        else:
            kwargs[keyword[1]] = word
    body = b"[" + b",".join(args) + b"]"
    names = b"{" + b",".join(b'"%s":%s' % (key.encode(), word) for key, word in kwargs.items()) + b"}"
    return Request(_ID, name, Raw(body), Raw(names) if kwargs else None, rich=looks_rich(body + names))


def _hear_word(line: str, start: int) -> tuple[bytes, int]:
    """One word as JSON, and where it ends. What begins like JSON must be JSON, so that reading stays linear."""
    if line[start : start + 1] in ('"', "[", "{"):
        try:
            end = _extent(line, start)[1]
            word = line[start:end]
            _parsed(word)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"the word that begins at {line[start : start + 20]!r} is not JSON: {error}") from None
        if line[end : end + 1] not in ("", " ", "\t"):
            raise ValueError(f"a blank is missing after {word[-20:]!r}")
        return word.encode(), end
    blank = _BLANK.search(line, start)
    end = len(line) if blank is None else blank.start()
    word = line[start:end]
    return (word.encode() if word and _is_json(word) else _quoted(word)), end


def _hear_answer(line: str) -> Message:
    if line == ".":
        return End(_ID)
    if line == "-":
        return Reply(_ID, Raw(b"null"), stream=True)
    if line == "pong":
        return Pong()
    if line.startswith("! "):
        name, _, text = line[2:].partition(": ")
        return Failure(_ID, CODES.get(name, "remote"), name, text)
    if line.startswith("- "):
        body = _answer(line[2:])
        return Item(_ID, Raw(body), looks_rich(body))
    body = _answer(line)
    return Reply(_ID, Raw(body), looks_rich(body))


def _answer(text: str) -> bytes:
    return text.encode() if _is_json(text) else _quoted(text)


WIRE = TextWire()
