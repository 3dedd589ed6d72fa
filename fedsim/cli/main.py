"""The command line: run, attack, compare, report, gate, study, doctor, list, data, new, check.

What each verb does is in the modules beside this one. Here they are put together, and errors become
sentences.
Exit codes are in `EXIT_CODES`, which ``fedsim --help`` ends with.
"""

import errno
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console
from rich.text import Text

from fedsim.cli.authoring import check, new_app
from fedsim.cli.compare import compare
from fedsim.cli.gate import gate
from fedsim.cli.interrupts import orderly_interrupts
from fedsim.cli.machine import data_app, doctor, list_
from fedsim.cli.options import EXIT_CODES, EXIT_INVALID, EXIT_STOPPED
from fedsim.cli.runs import attack, report, run
from fedsim.cli.study import study
from fedsim.errors import FedsimError
from fedsim.federation.log_filters import only_warnings_of_flower
from fedsim.plugins.module_search import look_in

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    epilog=EXIT_CODES,
)
for command in (run, attack, report, compare, gate, study, doctor, check):
    app.command()(command)
app.command(name="list")(list_)
app.add_typer(data_app, name="data")
app.add_typer(new_app, name="new")


def _fail(sentence: str) -> NoReturn:
    told = Text.assemble(("fedsim:", "bold red"), f" {sentence}")
    Console(stderr=True).print(told, highlight=False, soft_wrap=True)
    sys.exit(EXIT_INVALID)


def _told_version(asked: bool) -> None:
    if asked:
        from fedsim import __version__

        typer.echo(f"fedsim {__version__}")
        raise typer.Exit


@app.callback(help="What does your federation leak about who was in its training data?")
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", is_eager=True, callback=_told_version, help="Print the version."),
    ] = False,
) -> None:
    """Take the options of fedsim itself."""


def _stopped() -> NoReturn:
    Console(stderr=True).print("stopped; the same command resumes where it was")
    sys.exit(EXIT_STOPPED)


def main() -> None:
    """Run the command line; what a user or a plugin did wrong is one sentence and exit code 2."""
    look_in(Path.cwd())  # so that module:attribute finds a user's own files
    try:
        with orderly_interrupts(), only_warnings_of_flower():
            app(prog_name="fedsim")  # however it was started: completion goes by the name
    except FedsimError as error:
        _fail(str(error))
    except OSError as error:  # a full disk, a file that may not be read: not a defect of ours
        where = f"{error.filename}: " if error.filename else ""
        advice = "; make room and run the same command again, it resumes"
        _fail(f"{where}{error.strerror or error}{advice if error.errno in NO_ROOM else ''}")
    except SystemExit as end:  # typer has turned Ctrl-C into this
        if end.code == EXIT_STOPPED:
            _stopped()
        raise
    except KeyboardInterrupt:  # once more, while typer was at that
        _stopped()
    except Exception as error:
        from fedsim.plugins.error_sentences import plugin_error_sentence

        if (sentence := plugin_error_sentence(error)) is None:  # a defect of ours
            raise
        _fail(sentence)


if __name__ == "__main__":
    main()
