"""Every configuration value of a study: its type, default, meaning and limits, in one place.

`load_study` turns a parsed YAML mapping into a `Study`; anything wrong becomes one `ConfigError` with a
sentence per problem: key path, what was found, what is allowed. `emoadapt docs` writes the JSON schema
(`workflow/schemas/config.schema.json`) and `docs/configuration.md` from these models.
"""

from emoadapt.config.backbones import Backbone
from emoadapt.config.base import (
    REPEATING,
    Fraction,
    Name,
    Section,
    expand_variables,
    repeated_values,
)
from emoadapt.config.corpora import (
    AnnotatedCorpus,
    AnyCorpus,
    CafeCorpus,
    CmuMosiCorpus,
    Corpus,
    CremaDCorpus,
    CsvCorpus,
    DemoCorpus,
    EmodbCorpus,
    FolderCorpus,
    IemocapCorpus,
    MeldCorpus,
    MspFaceCorpus,
    MspImprovCorpus,
    MspPodcastCorpus,
    NemoCorpus,
    RavdessCorpus,
    SaveeCorpus,
    TessCorpus,
    UrduCorpus,
)
from emoadapt.config.features import (
    Features,
)
from emoadapt.config.reading import (
    load_study,
    merge_study,
    read_configfiles,
    read_study,
    refuse_repeated_flag,
)
from emoadapt.config.report import (
    Report,
)
from emoadapt.config.study import (
    Study,
    objective_features,
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
    Task,
)
from emoadapt.config.training import (
    Adaptation,
    Finetuning,
    Optimisation,
)

__all__ = [
    "REPEATING",
    "Adaptation",
    "AllSplit",
    "AnnotatedCorpus",
    "AnyCorpus",
    "Backbone",
    "BestOf",
    "CafeCorpus",
    "CmuMosiCorpus",
    "Corpus",
    "CremaDCorpus",
    "CsvCorpus",
    "DemoCorpus",
    "Division",
    "EachOf",
    "EmodbCorpus",
    "Features",
    "Finetuning",
    "FoldSplit",
    "FolderCorpus",
    "Fraction",
    "FractionSplit",
    "IemocapCorpus",
    "Leaks",
    "LeaveOnePartOut",
    "LeaveOneSpeakerOut",
    "MeldCorpus",
    "MspFaceCorpus",
    "MspImprovCorpus",
    "MspPodcastCorpus",
    "Name",
    "NemoCorpus",
    "OfficialSplit",
    "Optimisation",
    "RavdessCorpus",
    "Report",
    "SaveeCorpus",
    "Section",
    "SpeakerSplit",
    "Split",
    "Study",
    "TableColumns",
    "TableConfig",
    "TablePart",
    "TableSplit",
    "Task",
    "TessCorpus",
    "UrduCorpus",
    "expand_variables",
    "load_study",
    "merge_study",
    "objective_features",
    "read_configfiles",
    "read_study",
    "refuse_repeated_flag",
    "repeated_values",
]
