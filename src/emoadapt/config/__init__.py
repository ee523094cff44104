"""Every configuration value of a study: its type, default, meaning and limits, in one place.

`load_study` turns a parsed YAML mapping into a `Study`; anything wrong becomes one `ConfigError` with a
sentence per problem: key path, what was found, what is allowed. `emoadapt docs` writes the JSON schema
(`workflow/schemas/config.schema.json`) and `docs/configuration.md` from these models.
"""

from emoadapt.config.base import (
    REPEATING,
    Fraction,
    Name,
    Section,
    expand_variables,
    repeated_values,
)
from emoadapt.config.corpora import (
    AnyCorpus,
    Corpus,
    CremaDCorpus,
    CsvCorpus,
    DemoCorpus,
    EmodbCorpus,
    FolderCorpus,
    RavdessCorpus,
)
from emoadapt.config.features import (
    VIDEO_FEATURES,
    AsrConfig,
    AudioConfig,
    CompareFramesConfig,
    CompareFunctionalsConfig,
    EgemapsConfig,
    EgemapsFramesConfig,
    EgemapsFunctionalsConfig,
    FaceEmbeddingConfig,
    FacesConfig,
    Features,
    OnnxNetwork,
    SentimentConfig,
    UntrainedNetwork,
)
from emoadapt.config.models import (
    Architecture,
    Backbone,
    Lora,
    Projection,
    SpecAugment,
    UntrainedBackbone,
)
from emoadapt.config.reading import (
    load_study,
    read_configfiles,
    read_study,
)
from emoadapt.config.report import (
    Report,
)
from emoadapt.config.study import (
    Study,
    objective_features,
)
from emoadapt.config.tasks import (
    FoldSplit,
    FractionSplit,
    LeaveOneSpeakerOut,
    OfficialSplit,
    SpeakerSplit,
    Split,
    Task,
)
from emoadapt.config.training import (
    Adaptation,
    Finetuning,
    Optimisation,
)

__all__ = [
    "REPEATING",
    "VIDEO_FEATURES",
    "Adaptation",
    "AnyCorpus",
    "Architecture",
    "AsrConfig",
    "AudioConfig",
    "Backbone",
    "CompareFramesConfig",
    "CompareFunctionalsConfig",
    "Corpus",
    "CremaDCorpus",
    "CsvCorpus",
    "DemoCorpus",
    "EgemapsConfig",
    "EgemapsFramesConfig",
    "EgemapsFunctionalsConfig",
    "EmodbCorpus",
    "FaceEmbeddingConfig",
    "FacesConfig",
    "Features",
    "Finetuning",
    "FoldSplit",
    "FolderCorpus",
    "Fraction",
    "FractionSplit",
    "LeaveOneSpeakerOut",
    "Lora",
    "Name",
    "OfficialSplit",
    "OnnxNetwork",
    "Optimisation",
    "Projection",
    "RavdessCorpus",
    "Report",
    "Section",
    "SentimentConfig",
    "SpeakerSplit",
    "SpecAugment",
    "Split",
    "Study",
    "Task",
    "UntrainedBackbone",
    "UntrainedNetwork",
    "expand_variables",
    "load_study",
    "objective_features",
    "read_configfiles",
    "read_study",
    "repeated_values",
]
