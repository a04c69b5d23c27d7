"""A message into bytes and back. A file's name is the wire's name."""
