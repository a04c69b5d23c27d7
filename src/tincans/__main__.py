"""`python -m tincans`: the same as the command `tincans`."""

from tincans.cli import main

main()
