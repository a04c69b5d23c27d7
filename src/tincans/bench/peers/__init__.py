"""What a user would take instead: one file a library, each with CONTESTANTS.

Rules of this room
- A library is used the way its own documentation recommends, and imported inside the functions only.
- `serve` answers many clients, for that is what it is compared with.
"""
