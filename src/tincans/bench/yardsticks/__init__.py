"""The floor: the bare means that a method is built on, with no checks, no names and no dispatch. One file each.

Rules of this room
- A yardstick does as little as can be done; it is no way to write a program.
"""
