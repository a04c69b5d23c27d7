"""`serve`: the public functions of any module or object, as a service, with no code written.

Rules of this file
- stdout stays empty (a `stdio:` service speaks on it) unless `--print-url` asks for the addresses.
- What cannot be imported is the user's to mend: one clear text, and her own traceback when her code raised.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import signal
import sys
import traceback
from contextlib import suppress
from pathlib import Path
from typing import Any

import rich_click as click

import tincans
from tincans.cli.exits import Exit
from tincans.cli.output import say, show


@click.command()
@click.argument("target", metavar="MODULE[:OBJECT]")
@click.option("--on", "urls", multiple=True, metavar="URL", help="Where to be reached; may be given several times.")
@click.option("--keep", type=click.Path(dir_okay=False), metavar="FILE", help="Keep queues and state in this file.")
@click.option("--print-url", is_flag=True, help="Print the addresses on stdout once they can be reached.")
def serve(target: str, urls: tuple[str, ...], keep: str | None, print_url: bool) -> None:
    """Expose the public functions of MODULE (or of an OBJECT in it) until Ctrl-C.

    MODULE is anything that Python can import, or the path of a .py file. Without --on, the service has the
    module's name.

    \b
    Examples
      tincans serve statistics --on unix:stats
      tincans serve ./calculator.py:Calculator --on alice --on tcp://127.0.0.1:9000
      tincans serve shop.stock --keep stock.db
    """
    offered = find(target)
    with tincans.serve(*(urls or (default_name(target),)), keep=keep) as server:
        server.expose_object(offered)
        # From the first word on, SIGTERM ends us as Ctrl-C does; `run` takes both over.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        with suppress(KeyboardInterrupt):
            for url in server.urls:
                say(f"tincans: serving {target} at {url}")
                if print_url:
                    show(url)
            server.run()


def default_name(target: str) -> str:
    """The service's name when nothing else is said.

    >>> default_name("shop.stock"), default_name("./calculator.py:Calculator")
    ('stock', 'calculator')
    """
    module = target.partition(":")[0]
    return Path(module).stem if module.endswith(".py") else module.rpartition(".")[2]


def find(target: str) -> Any:
    """The module or object named by MODULE[:OBJECT]; a class is made into an object of it."""
    module_name, _, object_name = target.partition(":")
    found: Any = _loaded(module_name)
    for name in object_name.split(".") if object_name else ():
        try:
            found = getattr(found, name)
        except AttributeError:
            raise click.UsageError(f"{module_name} has no {object_name!r}. {_offer(found)}") from None
    return _instance(found, object_name) if inspect.isclass(found) else found


def _loaded(name: str) -> Any:
    if name.endswith(".py") and not Path(name).is_file():
        raise click.UsageError(f"There is no file {name!r}.")
    # The console script does not have the current directory on its path; `python -m` does.
    if str(Path.cwd()) not in sys.path and "" not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        return _from_file(Path(name)) if name.endswith(".py") else importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise _broken(name) from None
        raise click.UsageError(
            f"There is no module {error.name!r} here. Name something that Python can import from {Path.cwd()}, "
            "or a file such as ./calculator.py."
        ) from None
    except Exception:
        raise _broken(name) from None


def _from_file(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None  # a .py file has a loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module  # annotations are looked up there
    sys.path.insert(0, str(path.parent.resolve()))
    spec.loader.exec_module(module)
    return module


class BrokenModuleError(click.ClickException):
    """The user's own module raised while it was imported."""

    exit_code = Exit.FAILED


def _broken(name: str) -> BrokenModuleError:
    say(traceback.format_exc().rstrip())
    return BrokenModuleError(f"Importing {name} failed; the traceback is above.")


def _instance(found: type[Any], name: str) -> Any:
    try:
        return found()
    except TypeError as error:
        raise click.UsageError(
            f"{name} is a class that cannot be made without arguments ({error}). "
            "Make an object of it in the module and name that one."
        ) from None


def _offer(found: Any) -> str:
    names = [name for name, value in vars(found).items() if not name.startswith("_") and callable(value)]
    return f"It has: {', '.join(sorted(names)[:12])}." if names else "It has nothing that can be called."
