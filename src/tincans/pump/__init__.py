"""The one place with threads: connection <-> session, waiting, deadlines, death."""
