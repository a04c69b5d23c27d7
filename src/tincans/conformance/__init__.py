"""The specification as tests: what any method must do, run on any URL, also on other people's methods.

    pytest --pyargs tincans.conformance -p tincans.conformance.plugin --method 'unix:{name}'

Rules of this room
- One test is one promise, and its name says it. Nothing here knows which method it runs on: it reads the facts.
- A verb that the facts claim must pass; a verb that they refuse must refuse with that very reason.
- Both faces: `alice` is a sync Peer, or the async one driven from a thread (faces.py); the tests cannot tell.
- The serving program is a separate one (program.py) wherever the method reaches another program.
"""
