"""Servers that tests need, each a context manager that gives its place; each ends with the program that started it."""
