"""Words of ours in Snakemake's log, on a terminal, in a pipe and in its file alike.

Snakemake puts the class of an exception, and a place in the Snakefile, around a sentence that is meant for a user. It advises
`--rerun-triggers mtime` and `--cleanup-metadata`, which are refused here and do nothing.
"""

from __future__ import annotations

import logging

from snakemake.exceptions import WorkflowError

ADVICE = ("Some jobs were triggered by provenance", "Rules with provenance triggered jobs")
"""Beginnings of messages that are dropped; each job states its reason."""
REPLACED = {
    "Params have changed since last execution: ": "changed: ",
    "params have changed since last execution:": "changed settings, code, libraries or inputs:",
}
"""Words of Snakemake for what `emoadapt.flow.records` finds -> ours."""


def word_plainly(logger: logging.Logger) -> None:
    """Drop advice that does not apply, and say what changed without the word params.

    Args:
        logger: that of Snakemake.
    """
    logger.addFilter(_reword)


def refuse(logger: logging.Logger, error: object) -> WorkflowError:
    """Make an exception that ends Snakemake, of which it logs the sentence alone.

    Args:
        logger: that of Snakemake.
        error: an exception, or its sentence.
    """
    # An exception may have no words; every line would be taken for it.
    sentence = str(error) or type(error).__name__

    def keep_sentence(record: logging.LogRecord) -> bool:
        if record.levelno >= logging.ERROR and sentence in str(record.msg):
            record.msg, record.args = sentence, ()
        return True

    logger.addFilter(keep_sentence)
    return WorkflowError(sentence)


def _reword(record: logging.LogRecord) -> bool:
    text = str(record.msg)
    if text.startswith(ADVICE):
        return False
    for theirs, ours in REPLACED.items():
        if theirs in text:
            record.msg = text = text.replace(theirs, ours)
        if theirs in (reason := getattr(record, "reason", None) or ""):
            record.reason = reason.replace(theirs, ours)
    return True
