"""Edits of code and versions of libraries, and the jobs that they make stale."""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from emoadapt.config import load_study
from emoadapt.flow import code, provenance
from emoadapt.plugins import find_source
from emoadapt.study.graph import Graph
from emoadapt.study.nodes import Model, Setting

TINY = {"conv_dim": [16] * 5, "hidden_size": 16, "layers": 1, "heads": 2, "intermediate_size": 16}
STUDY = {
    "study": "covered",
    "corpora": {"c": {"importer": "folder", "root": ".", "modalities": ["audio", "video"]}},
    "features": {
        "faces": {"detector": "mtcnn"},
        "face_embedding": {"network": {"untrained": "tiny_cnn"}},
        "transcript": {"engine": "pocketsphinx"},
        "sentiment": {"engine": "vader"},
    },
    "backbones": {
        "w": {"architecture": "wav2vec2", "untrained": TINY},
        "lora": {"architecture": "wav2vec2", "untrained": TINY, "lora": {}},
        "e": {"architecture": "vector", "reads": "egemaps"},
    },
    "adaptations": {"a": {"corpora": ["c"], "objectives": {"egemaps": 1.0, "sentiment": 0.5, "face": 1.0}}},
    "finetunings": {
        "default": {},
        "augmented": {"augment": [{"chain": "ahn2024"}], "backbones": ["w"]},
        "domain": {"method": "domain", "target": False, "backbones": ["w"]},
        "probe": {"method": "probe", "backbones": ["w"]},
        "logistic": {"method": "probe", "classifier": "logistic", "layer": "last", "backbones": ["w"]},
        "svm": {"method": "svm", "backbones": ["e"]},
    },
    "tasks": {"t": {"corpus": "c", "classes": ["x", "y"], "split": {"by": "fractions"}}},
}
COMMANDS = {
    "split": ["cli.split"],
    "divide": ["cli.divide"],
    "leaks": ["cli.leaks"],
    "parts": ["cli.parts"],
    "training_shard": ["cli.training_shard"],
    "quarantine": ["cli.collect_quarantine"],
    "word_errors": ["cli.word_errors"],
    "report": ["cli.report", "extraction.recipes", "flow.provenance"],
}
"""Rule -> what its `code` is of, where it is no method of the graph that says it."""
FEATURES = (
    "audio", "egemaps", "faces", "face_embedding", "transcript", "sentiment", "rms", "compare_functionals", "landmarks",
    "landmark_motion", "action_units",
)  # fmt: skip
POOLED, ENCODER = ["poolings.mean"], ["backbones.base", "backbones.speech_transformer"]
JOBS: dict[str, list[str]] = {
    **COMMANDS,
    **{f"extract {name}": ["cli.extract", f"features.{name}"] for name in FEATURES},
    "extract faces": ["cli.extract", "features.faces", "detectors.mtcnn"],
    "extract landmarks": ["cli.extract", "features.landmarks", "landmarkers.mediapipe"],
    "keep": ["cli.keep", *ENCODER],
    "normalisers": ["cli.normalisers", "objectives.egemaps", "objectives.sentiment", "objectives.face"],
    "adapt": ["cli.adapt", "methods.adapt", *ENCODER, *POOLED, "objectives.egemaps", "objectives.sentiment", "objectives.face"],
    "train default": ["cli.train", "methods.finetune", *ENCODER, *POOLED],
    "train augmented": ["cli.train", "methods.finetune", *ENCODER, *POOLED, "augmentations.ahn2024"],
    "train domain": ["cli.train", "methods.domain", *ENCODER, *POOLED, "augmentations.ahn2024"],
    "train probe": ["cli.train", "methods.probe"],
    "train svm": ["cli.train", "methods.svm"],
    "refit": ["cli.refit", "methods.probe", *ENCODER],
    "evaluate": ["cli.evaluate", "metrics.macro_f1", "metrics.uar", "metrics.cosine_distance"],
}  # fmt: skip
"""Kind of job -> where its process begins: its command, and the plug-ins that it loads by name."""
MODELS = {
    "default": "w.original", "augmented": "w.original.augmented", "lora": "lora.original", "probe": "w.original.probe",
    "logistic": "w.original.logistic", "domain": "w.original.domain", "svm": "e.original.svm",
}  # fmt: skip


@pytest.fixture(scope="module")
def graph() -> Graph:
    return Graph(load_study(STUDY))


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    yield
    forget()


def forget() -> None:
    for function in (code.code_digest, code.own_digest, code.list_libraries, provenance.name_distribution):
        function.cache_clear()


def read_states(graph: Graph) -> dict[str, Callable[[], Any]]:
    """Kind of job -> what reaches its rule of code and libraries."""
    states: dict[str, Callable[[], Any]] = {
        job: lambda modules=modules: graph.code(*modules) for job, modules in COMMANDS.items()
    }
    states |= {f"extract {name}": lambda name=name: graph.recipe(name) for name in FEATURES}
    states |= {
        f"train {name}": lambda model=model: graph.training_code(Setting("t", Model.parse(model), "full"))
        for name, model in MODELS.items()
    }
    return states | {
        "keep": lambda: graph.kept_code("w"),
        "normalisers": lambda: graph.normaliser_code("a"),
        "adapt": lambda: graph.stage1_code("w", "a"),
        "refit": lambda: graph.refit_code(Setting("t", Model.parse(MODELS["probe"]), "full")),
        "evaluate": lambda: graph.evaluation_code("t"),
    }


# --- code


@cache
def read_tree(module: str) -> ast.Module | None:
    """Syntax tree of a module without what only a type checker reads."""
    source = find_source(module)
    if source is None:
        return None
    tree = ast.parse(source.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body = [ast.Pass()]
    return tree


def list_imports(node: ast.AST) -> set[str]:
    """Modules of this package that a part of a module imports, by an own reading of its statements."""
    found: set[str] = set()
    for child in ast.walk(node):
        if isinstance(child, ast.Import):
            found |= {alias.name for alias in child.names}
        elif isinstance(child, ast.ImportFrom) and child.module and not child.level:
            found |= {child.module, *(f"{child.module}.{alias.name}" for alias in child.names)}
    return {name for name in found if name.startswith("emoadapt.") and find_source(name)}


def reach(*begins: str) -> set[str]:
    """Modules that a process may import from where it begins, but for what only exempt ones import."""
    seen: set[str] = set()
    waiting: set[str] = set()
    for begin in begins:
        module, _, name = begin.rpartition(".")
        if module == "cli":
            tree = read_tree("emoadapt.cli")
            waiting |= list_imports(next(n for n in tree.body if getattr(n, "name", None) == name))
        else:
            waiting.add(f"emoadapt.{begin}")
    while waiting:
        module = waiting.pop()
        seen.add(module)
        # The configuration, tables and errors are looked at by definition.
        if module not in code.EXEMPT and not code.is_sliced(module):
            waiting |= list_imports(read_tree(module)) - seen
    return seen


@pytest.mark.parametrize("job", JOBS)
def test_all_that_a_job_reaches_is_in_its_digest_or_exempt_for_a_reason(job: str, graph: Graph) -> None:
    """Symptoms: edits of `flow.rows`, `extraction`, `training.jobs` and of what the commands do made nothing stale."""
    assert all(reason and len(reason.split()) > 1 for reason in code.EXEMPT.values())
    state = read_states(graph)[job]
    reached = {name for name in reach(*JOBS[job]) if name not in code.EXEMPT and not code.is_sliced(name)}
    assert len(reached) > 3
    before = state()
    missed = [module for module in sorted(reached) if mutates(module) and not changes(state, before, module)]
    assert missed == []


def mutates(module: str) -> bool:
    """Whether there is anything to mutate: not in a package that holds nothing."""
    return any(not code._is_idle(node) for node in read_tree(module).body)


def changes(state: Callable[[], Any], before: Any, module: str, part: str = "") -> bool:
    """Whether a state is another one if a constant or a call in a module is."""
    source = find_source(module)
    copy, recall = mutate(source.read_text(), part), code._recall
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(code, "_recall", lambda name, kind, text: recall(name, kind, copy if name == module else text))
        forget()
        return state() != before


class Mutation(ast.NodeTransformer):
    """Changes one number, name or text in the code of a module, and no docstring or import."""

    def __init__(self) -> None:
        self.done = False

    def visit_Expr(self, node: ast.Expr) -> ast.AST:
        return node if isinstance(node.value, ast.Constant) else self.generic_visit(node)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.AST:
        return node

    def visit_If(self, node: ast.If) -> ast.AST:
        return node if ast.unparse(node.test) == "TYPE_CHECKING" else self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        if self.done or not isinstance(node.value, (int, float, str)):
            return node
        self.done = True
        return ast.Constant(node.value + "x" if isinstance(node.value, str) else node.value + 1)


def mutate(text: str, part: str = "") -> str:
    """A module's text with a constant changed in a function, else with a statement less; of one definition, if it is named."""
    tree = ast.parse(text)
    nodes = [node for node in tree.body if not part or part in code._list_defined(node)]
    functions = [child for node in nodes for child in ast.walk(node) if isinstance(child, ast.FunctionDef)]
    # Checks of keys decide values, which are in params.
    functions = [
        node for node in functions if not any("validator" in ast.unparse(mark) for mark in node.decorator_list)
    ]
    for node in [*functions, *(node for node in nodes if not isinstance(node, ast.FunctionDef))]:
        mutation = Mutation()
        for statement in node.body if isinstance(node, ast.FunctionDef) else [node]:
            mutation.visit(statement)
        if mutation.done:
            return ast.unparse(tree)
    if functions:
        functions[0].body[-1] = ast.Pass()
        return ast.unparse(tree)
    return f"{text}\n_MUTATED = 1\n"


@pytest.mark.parametrize(
    ("definition", "jobs"),
    [
        ("schema.SAMPLE_RATE", {"extract audio", "extract egemaps", "adapt", "train default", "keep"}),
        ("schema.SENTIMENTS", {"extract sentiment"}),
        ("schema.SPLITS", {"split", "leaks", "train svm", "train default"}),
        ("schema.PREDICTIONS", {"evaluate", "train svm", "train default"}),
        ("schema.LEAKS", {"leaks", "report"}),
        ("cli.split", {"split"}),
        ("cli.evaluate", {"evaluate"}),
        ("cli.train", {"train default", "train probe", "train svm"}),
        ("errors.ClipError", {"extract audio", "extract egemaps"}),
        ("config.training.Adaptation", {"adapt"}),
        ("config.training.Finetuning", {"train default", "train probe", "train svm"}),
        ("config.tasks.Task", {"split", "leaks", "train default", "train svm"}),
        ("config.backbones.Backbone", {"adapt", "keep", "train default"}),
    ],
)
def test_definitions_that_a_job_uses_are_in_its_digest(definition: str, jobs: set[str], graph: Graph) -> None:
    """Symptom: edits of constants, of tables and of rules in sections made nothing stale."""
    module, _, part = definition.rpartition(".")
    states = read_states(graph)
    before = {job: state() for job, state in states.items()}
    found = {job for job, state in states.items() if changes(state, before[job], f"emoadapt.{module}", part)}
    assert jobs <= found
    assert found != set(states), "it concerns not all jobs"


# --- libraries

NUMPY = {
    "split", "divide", "leaks", "parts", "normalisers", "keep", "adapt", "evaluate", "report", "train default", "train lora", "train augmented",
    "train domain", "train probe", "train logistic", "train svm", "refit", *(f"extract {name}" for name in FEATURES),
}  # fmt: skip
TRAININGS = {
    "adapt",
    "refit",
    *(f"train {name}" for name in ("default", "augmented", "domain", "lora", "probe", "logistic", "svm")),
}
LIBRARIES = {
    "numpy": NUMPY,
    "polars": {"split", "divide", "leaks", "parts", "evaluate", "word_errors", "report", *TRAININGS},
    "torch": {"normalisers", "keep", "extract faces", *TRAININGS},
    "transformers": {"keep", "adapt", "refit", "train default", "train lora", "train augmented", "train domain"},
    "peft": {"train lora"},
    "scikit-learn": {"train logistic", "train svm"},
    "scipy": {"parts", "evaluate", "train augmented", "train domain"},
    "audiomentations": {"train augmented", "train domain"},
    "opensmile": {"extract egemaps", "extract compare_functionals"},
    "av": {"extract audio", "extract faces", "extract landmarks", "report"},
    "mediapipe": {"extract landmarks"},
    "opencv-python-headless": {"extract faces", "extract face_embedding"},
    "onnxruntime-gpu": {"extract face_embedding"},
    "librosa": {"extract rms", "train augmented", "train domain"},
    "pocketsphinx": {"extract transcript"},
    "vaderSentiment": {"extract sentiment"},
    "openai-whisper": {"word_errors"},
    "jiwer": {"word_errors"},
    "matplotlib": {"report"},
    "pyarrow": set(),
    "pydantic": set(),
    "snakemake": set(),
}
"""Library -> jobs whose results its version decides. The report shows the versions that its inputs state."""


@pytest.mark.parametrize("pinned", ["digest", "version"])
@pytest.mark.parametrize("library", LIBRARIES)
def test_another_version_of_a_library_makes_its_results_stale(
    library: str, pinned: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Symptoms: trainings and outputs of CNNs did not depend on versions, and with `code: version` nothing did."""
    states = read_states(Graph(load_study(STUDY | {"code": pinned})))
    before = {job: state() for job, state in states.items()}
    installed = provenance.installed_version
    monkeypatch.setattr(provenance, "installed_version", lambda name: "99" if name == library else installed(name))
    forget()
    assert {job for job, state in states.items() if state() != before[job]} == LIBRARIES[library]


def test_libraries_that_decide_nothing_are_named_with_a_reason() -> None:
    assert all(len(reason.split()) > 1 for reason in code.IDLE_LIBRARIES.values())
    decided = {code.name_distribution(name) for name in code.IDLE_LIBRARIES} & {
        name for name, jobs in LIBRARIES.items() if jobs
    }
    assert decided == set()


def test_every_library_that_is_imported_decides_something_or_is_named(graph: Graph) -> None:
    """A new import is a decision."""
    trees = [ast.parse(path.read_text()) for path in Path(code.__file__).parents[1].rglob("*.py")]
    tops = {name.partition(".")[0] for tree in trees for name in code._list_imports(ast.walk(tree), "emoadapt")}
    foreign = tops - set(sys.stdlib_module_names) - {"emoadapt", "", "__future__"}
    aside = {
        "espeakng_loader", "mediapipe", "onnx", "onnxscript", "huggingface_hub", "pooch", "requests", "snakemake_interface_logger_plugins",
        "jinja2", "markupsafe", "tqdm", "google", "umap",
    }  # fmt: skip
    known = {name for name in foreign if code.name_distribution(name) in LIBRARIES or name in code.IDLE_LIBRARIES}
    assert foreign - known <= aside
