"""Speed, side by side: our methods and what a user would take instead, in one run, in interleaved rounds.

Rules of this room
- Every contestant is two real programs; each is used the way its own documentation recommends.
- Rounds are interleaved (A B C, A B C, ...), so that a machine that slows down slows all; medians are compared.
- Absolute times do not travel: what is promised is a ratio of two medians of the same run.
"""
