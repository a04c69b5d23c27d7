"""Speed, side by side: our methods and what a user would take instead, in one run, in interleaved rounds.

Rules of this room
- Who is measured is a `Contestant` (contestant.py): ours come from the facts, every other one is a file in `peers/` or
  `yardsticks/`. Each is used the way its own documentation recommends; its library is imported when used.
- The serving side ("Alice", alice.py) is always a program of its own, and so is each client ("Bob", bob.py). They are
  told what to do over stdin, and end when it ends, however the measuring program ended.
- Rounds are interleaved (A B C, A B C, ...), so that a machine that slows down slows all; medians are compared.
- Absolute times do not travel: what is promised is a ratio of two medians of the same run.
- Who is left out is named with the reason. Nothing here judges beyond the table of bars (bars.py).
"""
