"""Sentences for configuration files that Snakemake cannot read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def explain_unreadable(load: Callable[[Any], dict[str, Any]]) -> Callable[[Any], dict[str, Any]]:
    """Wrap Snakemake's reading of a configuration file: what it cannot read is explained as `emoadapt check` does.

    Args:
        load: `snakemake.common.configfile.load_configfile`.
    """

    def load_configfile(path: Any) -> dict[str, Any]:
        try:
            return load(path)
        except Exception:
            from snakemake.logging import logger

            from emoadapt.config.yaml_files import read_file
            from emoadapt.errors import ConfigError
            from emoadapt.terminal.wording import refuse

            try:
                read_file(path)
            except ConfigError as error:
                raise refuse(logger, error) from None
            raise

    return load_configfile
