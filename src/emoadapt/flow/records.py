"""Snakemake's decision on what to run, taken from the outputs themselves.

Snakemake asks its records (`.snakemake/metadata`) whether parameters, code or inputs changed, and the times of files. Here it asks
what each output claims it was made from. A record may be lost or wrong and a time may be any; neither decides anything.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import snakemake.api  # noqa: F401 - before its module `workflow`, which it imports in a circle
from snakemake import workflow
from snakemake.jobs import Job
from snakemake.logging import logger
from snakemake.persistence import NO_PARAMS_CHANGE, ParamsChange
from snakemake.persistence.file import FilePersistence
from snakemake.settings.enums import PersistenceBackend, RerunTrigger

from emoadapt.errors import ConfigError, DataError
from emoadapt.flow.claims import digest_inputs, explain_change, explain_inputs, keep_outside, keep_parts
from emoadapt.storage.claims import Claim
from emoadapt.storage.folders import verify_folder
from emoadapt.storage.identities import read_claim, read_identity
from emoadapt.terminal.wording import refuse
from emoadapt.weights.untrusted import READ

if TYPE_CHECKING:
    from snakemake.workflow import Workflow


SHOWN = ("results/tables", "results/figures")
"""Folders that people read and no job: nobody else would notice a change of their files."""


def ask_claims(running: Workflow) -> None:
    """Let Snakemake 9.27 ask the outputs instead of its records and of times.

    Args:
        running: the workflow whose Snakefile is read.

    Raises:
        ConfigError: its records are kept in a database.
    """
    if running.workflow_settings.persistence_backend is not PersistenceBackend.FILE:
        raise ConfigError("outputs say themselves what they are made from; run without --persistence-backend")
    workflow.FilePersistence = Claims  # type: ignore[misc]
    Job.output_mintime = property(_no_time)


def refuse_other_records(running: Workflow) -> None:
    """Refuse to run if Snakemake does not ask the outputs, as a version might that is built in another way.

    Raises:
        ConfigError: it asks its own records.
    """
    if not isinstance(running.persistence, Claims):
        raise ConfigError(
            "this version of Snakemake cannot ask outputs what they are made from; install snakemake==9.27.1"
        )


async def _no_time(job: Job) -> None:
    """No time, so that no input is newer."""


@dataclass
class Difference(ParamsChange):
    """What differs from the study, in words."""

    words: str = ""

    def __bool__(self) -> bool:
        return bool(self.words)

    def __str__(self) -> str:
        return self.words


class Claims(FilePersistence):
    """Records of which none decides what runs."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        if RerunTrigger.PARAMS not in self.dag.workflow.rerun_triggers:
            raise refuse(
                logger,
                "outputs say themselves what they are made from, and --rerun-triggers would hide what changed; run without it "
                "(a profile may name it, too: rerun-triggers)",
            )
        self._identities: dict[str, str] = {}

    def has_metadata(self, job: Any) -> bool:
        """Outputs without a claim are made again; Snakemake would only mention them."""
        return True

    def has_outdated_metadata(self, job: Any) -> bool:
        """Records do not matter."""
        return False

    def params_changed(self, job: Any, file: Any = None) -> ParamsChange:
        """The first output that claims something else than the study would make, or that is damaged."""
        if made := job.params.get("made"):
            inputs: list[str] = []  # digested once, and only where a claim is to be compared
            for path in job.output if file is None else [file]:
                if words := self._find_difference(str(path), made, job, inputs):
                    return Difference(files={path}, words=words)
        return NO_PARAMS_CHANGE

    def input_changed(self, job: Any, file: Any = None) -> Any:
        """Part of `params_changed`."""
        return iter(()) if file is None else False

    code_changed = software_stack_changed = input_changed

    def started(self, job: Any, external_jobid: str | None = None) -> None:
        """Note what the outputs are made from, to say later what changed."""
        super().started(job, external_jobid)
        self._identities.clear()
        if made := job.params.get("made"):
            keep_parts(made)
            if outside := job.params.get("outside"):
                for path in job.output:
                    keep_outside(str(path), made, outside)

    def _find_difference(self, path: str, made: str, job: Any, inputs: list[str]) -> str:
        try:
            claim = self._read_claim(path)
        except FileNotFoundError:
            return ""  # a missing output is Snakemake's own matter
        except (OSError, DataError) as error:
            return str(error)
        if claim is None:
            return "output that does not say what it was made from"
        if claim.made != made:
            return explain_change(claim.made, made)
        if not inputs:
            inputs.append(digest_inputs(job.input, job.params.get("outside", ""), self._identify))
        if claim.inputs == inputs[0]:
            return ""
        if not job.input:
            return "the corpus has other clips"
        outside = job.params.get("outside")
        return explain_inputs(path, made, outside) if outside else "made from other inputs"

    def _read_claim(self, path: str) -> Claim | None:
        found = Path(path)
        if found.is_dir():
            # Whatever loads a model reads it whole, and what no library reads may be added to it.
            shown = path in SHOWN
            verify_folder(found, whole=shown, refused=None if shown else READ)
        return read_claim(found)

    def _identify(self, path: str) -> str:
        if path not in self._identities:
            try:
                self._identities[path] = read_identity(Path(path))
            except (OSError, DataError):
                self._identities[path] = ""  # the job that makes it is asked, too
        return self._identities[path]
