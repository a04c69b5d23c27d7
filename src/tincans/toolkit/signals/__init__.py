"""Flags by signals: what the method `signal` is made of."""
