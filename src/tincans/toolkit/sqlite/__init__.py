"""One SQLite file in which programs keep topics, queues, values, locks, calls and letters for each other.

Rules of this room
- store.py is a program's way into the file; every other file here has one table or two, and the promises about them.
- A change is one transaction, and it is committed before the bell is rung (shared_bell.py).
- Times in the file are wall-clock seconds: no other clock means anything to a program that runs another day.
"""
