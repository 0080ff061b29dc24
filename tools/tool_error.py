# SPDX-License-Identifier: GPL-2.0-only
"""Errors that the build tools show as one sentence, and the exit code they end with."""

from __future__ import annotations

import sys
from collections.abc import Callable

EXIT_REFUSED = 2


class ToolError(Exception):
    """Something the reader can act on; its text is a whole sentence that says what to do."""


class SourceError(ToolError):
    """A kernel source tree cannot be had as it was asked for."""


class BuildError(ToolError):
    """The kernel cannot be configured or compiled as it was asked for."""


def run_tool(main: Callable[[], int]) -> None:
    """Runs a tool's main function; shows what it refuses without a traceback and exits."""
    try:
        sys.exit(main())
    except ToolError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(EXIT_REFUSED)
    except KeyboardInterrupt:
        print("error: Interrupted; run the same command again to go on.", file=sys.stderr)
        sys.exit(130)
