"""The entry point: it runs a command, and reports errors in one sentence.

The application is `fedsim.cli.app`, its commands are listed in `fedsim.cli.commands`, and the exit
codes in `fedsim.cli.exit_codes`.
"""

import errno
import os
import sys
from pathlib import Path
from typing import NoReturn

from fedsim.cli.exit_codes import EXIT_INVALID, EXIT_STOPPED

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def _fail(sentence: str) -> NoReturn:
    from rich.console import Console
    from rich.text import Text

    message = Text.assemble(("fedsim:", "bold red"), f" {sentence}")
    Console(stderr=True).print(message, highlight=False, soft_wrap=True)
    sys.exit(EXIT_INVALID)


def _stopped() -> NoReturn:
    from rich.console import Console

    Console(stderr=True).print("stopped; the same command resumes where it was")
    sys.exit(EXIT_STOPPED)


def main() -> None:
    """Run the command line; what a user or a plugin did wrong is one sentence and exit code 2."""
    try:
        completing = "_FEDSIM_COMPLETE" in os.environ  # the shell asks how a word goes on
        if sys.argv[1:] in ([], ["--help"]) and not completing:
            from fedsim.cli.help_page import help_page

            print(help_page(), end="", flush=True)  # noqa: T201
            sys.exit(0 if sys.argv[1:] else EXIT_INVALID)
        _run_command()
    except OSError as error:  # a full disk, a file that may not be read: not a defect of ours
        where = f"{error.filename}: " if error.filename else ""
        advice = "; make room and run the same command again, it resumes"
        _fail(f"{where}{error.strerror or error}{advice if error.errno in NO_ROOM else ''}")


def _run_command() -> None:
    from fedsim.cli.app import app
    from fedsim.cli.interrupts import orderly_interrupts
    from fedsim.errors import FedsimError
    from fedsim.federation.log_filters import only_warnings_of_flower
    from fedsim.plugins.module_search import look_in

    look_in(Path.cwd())  # so that module:attribute finds a user's own files
    try:
        with orderly_interrupts(), only_warnings_of_flower():
            app(prog_name="fedsim")  # however it was started: completion goes by the name
    except FedsimError as error:
        _fail(str(error))
    except OSError:  # `main` reports it in one sentence
        raise
    except SystemExit as end:  # typer has turned Ctrl-C into this
        if end.code == EXIT_STOPPED:
            _stopped()
        raise
    except KeyboardInterrupt:  # once more, while typer was at that
        _stopped()
    except Exception as error:
        if type(error).__name__ == "OutOfMemoryError":  # torch's, which may not be imported
            _fail(
                "the memory of the device is not enough; set smaller batches "
                "(federation.local.batch_size), observe fewer rounds, or set engine.device to cpu"
            )
        from fedsim.plugins.error_sentences import plugin_error_sentence

        if (sentence := plugin_error_sentence(error)) is None:  # a defect of ours
            raise
        _fail(sentence)


if __name__ == "__main__":
    main()
