"""What Snakemake imports of this package before it reads a configuration file; it imports every module whose name begins like this.

A configuration file that it cannot read is then explained by a sentence of ours. Else a missing file would be a traceback, and a
fault in YAML would have neither file nor line. `--logger emoadapt` prints Snakemake's messages line by line.
"""

import sys
from logging import LogRecord

from snakemake.settings import types
from snakemake_interface_logger_plugins.base import LogHandlerBase

from emoadapt.terminal.configfiles import explain_unreadable

if hasattr(types, "load_configfile"):  # where Snakemake 9.27 reads them; another version may run other workflows here
    types.load_configfile = explain_unreadable(types.load_configfile)


class LogHandler(LogHandlerBase):
    """Messages of Snakemake as lines on the terminal."""

    writes_to_stream = True  # type: ignore[assignment]
    writes_to_file = has_filter = has_formatter = needs_rulegraph = False  # type: ignore[assignment]

    def emit(self, record: LogRecord) -> None:
        """Print a message; events without one say nothing here."""
        if (text := record.getMessage()) not in ("", "None"):
            print(text, file=sys.stderr)
