"""Every key of a study: its type, default, meaning and limits.

`load_study` turns a parsed YAML mapping into a `Study`; anything wrong becomes one `ConfigError` with a
sentence per problem: key path, what was found, what is allowed. `emoadapt docs` writes the JSON schema
(`workflow/schemas/config.schema.json`) and `docs/configuration.md` from these models.
"""

import importlib
from typing import TYPE_CHECKING, Any

from emoadapt.config.backbones import Backbone
from emoadapt.config.base import (
    REPEATING,
    Fraction,
    Name,
    Section,
    expand_variables,
    repeated_values,
)
from emoadapt.config.corpora import AnnotatedCorpus, Corpus, Segments
from emoadapt.config.report import (
    Report,
)
from emoadapt.config.tables import (
    BestOf,
    EachOf,
    TableConfig,
    TablePart,
)
from emoadapt.config.tasks import (
    AllSplit,
    Division,
    FoldSplit,
    FractionSplit,
    Leaks,
    LeaveOnePartOut,
    LeaveOneSpeakerOut,
    OfficialSplit,
    SpeakerSplit,
    Split,
    TableColumns,
    TableSplit,
    Target,
    Task,
)
from emoadapt.config.training import (
    Adaptation,
    Finetuning,
    Optimisation,
)

if TYPE_CHECKING:
    from emoadapt.config.features import Features
    from emoadapt.config.importers import AnyCorpus
    from emoadapt.config.reading import load_study, merge_study, read_configfiles, read_study, refuse_repeated_flag
    from emoadapt.config.study import Study, objective_features

_WITH_PLUGINS = {
    "AnyCorpus": "importers",
    "Features": "features",
    "Study": "study",
    "load_study": "reading",
    "merge_study": "reading",
    "objective_features": "study",
    "read_configfiles": "reading",
    "read_study": "reading",
    "refuse_repeated_flag": "reading",
}
"""Name that needs the sections of plug-ins -> its module, imported on first use. A plug-in imports sections of this package; with
an import at once, no plug-in could be imported first."""


def __getattr__(name: str) -> Any:
    if name not in _WITH_PLUGINS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_WITH_PLUGINS[name]}"), name)


__all__ = [
    "REPEATING",
    "Adaptation",
    "AllSplit",
    "AnnotatedCorpus",
    "AnyCorpus",
    "Backbone",
    "BestOf",
    "Corpus",
    "Division",
    "EachOf",
    "Features",
    "Finetuning",
    "FoldSplit",
    "Fraction",
    "FractionSplit",
    "Leaks",
    "LeaveOnePartOut",
    "LeaveOneSpeakerOut",
    "Name",
    "OfficialSplit",
    "Optimisation",
    "Report",
    "Section",
    "Segments",
    "SpeakerSplit",
    "Split",
    "Study",
    "TableColumns",
    "TableConfig",
    "TablePart",
    "TableSplit",
    "Target",
    "Task",
    "expand_variables",
    "load_study",
    "merge_study",
    "objective_features",
    "read_configfiles",
    "read_study",
    "refuse_repeated_flag",
    "repeated_values",
]
