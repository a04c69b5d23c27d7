"""Public protocols: one room, one protocol, one URL scheme. Each has an instance named PROTOCOL."""
