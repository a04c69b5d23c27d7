"""The command `tincans` itself: its subcommands, and what becomes of an error.

Rules of this file
- Every way a command can end comes through `run`, which alone turns errors into exit codes.
- An error of the library is one line on stderr; a traceback means a bug of ours.
"""

from __future__ import annotations

from collections.abc import Sequence

import rich_click as click
from click.shell_completion import get_completion_class

from tincans.cli import boards, calling, demo, listing, places, serving, speed
from tincans.cli.exits import MEANINGS, Exit, code_for
from tincans.cli.output import say
from tincans.errors import TincansError
from tincans.version import VERSION

_EXIT_CODES = "Exit codes\n\n" + "\n\n".join(f"{code}  {meaning}" for code, meaning in MEANINGS.items())
_COMPLETE = "_TINCANS_COMPLETE"


@click.group(name="tincans", epilog=_EXIT_CODES, context_settings={"max_content_width": 110})
@click.version_option(VERSION, message="%(version)s")
def tincans() -> None:
    """Two programs, one string: call, publish, queue and share between any two programs.

    NAME is the name of a service (`alice`) or any URL (`unix:stats`, `tcp://host:9000`).

    \b
    Examples
      tincans serve statistics --on unix:stats &
      tincans call unix:stats mean '[1, 2, 3, 4]'
      tincans ps
    """


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print what makes the shell complete commands, services and function names.

    \b
    Examples
      eval "$(tincans completion bash)"        # in .bashrc
      tincans completion fish > completions/tincans.fish
    """
    found = get_completion_class(shell)
    assert found is not None  # the three choices are all known to click
    click.echo(found(tincans, {}, "tincans", _COMPLETE).source())


for _command in (
    serving.serve,
    calling.call,
    calling.describe,
    boards.pub,
    boards.sub,
    boards.put,
    boards.take,
    boards.get,
    boards.set_,
    boards.watch,
    listing.ps,
    listing.methods,
    listing.which,
    places.doctor,
    demo.demo,
    speed.bench,
    completion,
):
    tincans.add_command(_command)


def run(words: Sequence[str] | None = None) -> int:
    """Run one command, given by its words or else by the command line, and return its exit code."""
    try:
        ended = tincans.main(
            args=None if words is None else list(words),
            prog_name="tincans",
            complete_var=_COMPLETE,
            standalone_mode=False,
        )
    except click.Abort:
        return Exit.INTERRUPTED
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except TincansError as error:
        say(f"tincans: {str(error) or type(error).__name__}")
        return code_for(error)
    return ended if isinstance(ended, int) else Exit.OK
