"""Digests of source code that ignore comments and layout.

Packages run by `python -m` are invisible to Snakemake; a digest in a rule's `params` makes its results
depend on the rule's own module and on every first-party module that it imports, directly or not.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import sys
from functools import cache
from pathlib import Path

from emoadapt.plugins import find_beside, find_source, is_own
from emoadapt.storage.caches import read_cache, write_cache

DECLARATIONS = frozenset({"emoadapt", "emoadapt.config", "emoadapt.schema", "emoadapt.errors"})
"""Modules and packages that only declare. What a rule takes from them is in its params (values) and in its tables'
schema (columns), so a new option or a new table elsewhere does not make every result stale."""

RULES = frozenset({"emoadapt.config.backbones", "emoadapt.config.training"})
"""Modules of `emoadapt.config` that also hold rules: what their sections say when a family or a method says nothing itself. Their
keys are left out."""

WITHOUT_EFFECT = frozenset(
    {
        "emoadapt.plugins",
        "emoadapt.weights.registry",
        "emoadapt.weights.cards",
        "emoadapt.training.logs",
        "emoadapt.training.watchers",
    }
)
"""Modules that results are made with and do not depend on. A plug-in that is found by its name is named by the caller. The
registry finds weights: which ones it found stands in params and row keys as the identity of their content. A model card is text
for people, and so are the logs and the bar of a training."""

STATED = {"emoadapt.features": frozenset({"TABLE", "TERMS", "JOB"})}
"""Package of plug-ins -> constants of the plug-ins that are left out: columns stand in the params and row keys of a job, and the
others decide no result. In a module that plug-ins share, such a name is like any other."""

_memory: list[Path] = []
"""The folder in which parsed modules are remembered, if any."""


def remember_modules(folder: Path) -> None:
    """Keep what is found in a module, under a name made of its text, so that the next process need not parse it."""
    _memory[:] = [folder]


@cache
def code_digest(*modules: str) -> str:
    """Digest (12 hex digits) of modules and all modules of the same package that they import.

    Imports inside functions count; imports under `if TYPE_CHECKING:` do not, as they never run. A module
    that is chosen at run time by name must be named by the caller.

    Raises:
        ModuleNotFoundError: a named module does not exist.
    """
    for name in modules:
        if find_source(name) is None:
            raise ModuleNotFoundError(f"no source of module {name}")
    trees = read_covered(*modules)
    text = "\n".join(f"{name}={trees[name]}" for name in sorted(trees))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


@cache
def own_digest(*modules: str) -> str:
    """Digest, as `code_digest`, of what a study brings itself among the modules that it would cover; empty where that is nothing."""
    trees = read_covered(*modules)
    text = "\n".join(f"{name}={trees[name]}" for name in sorted(trees) if is_own(name))
    return hashlib.sha256(text.encode()).hexdigest()[:12] if text else ""


def _declares(name: str) -> bool:
    """Whether a module only declares. The package's own name stands for itself, not for all that is in it."""
    if name in RULES:
        return False
    return name in DECLARATIONS or name.rpartition(".")[0] in DECLARATIONS - {"emoadapt"}


def read_covered(*modules: str) -> dict[str, str]:
    """Modules that the digest of `modules` covers, with a digest of the syntax tree of each, docstrings left out."""
    seen: dict[str, str] = {}
    waiting = list(modules)
    while waiting:
        name = waiting.pop()
        if name in seen or name in WITHOUT_EFFECT or _declares(name):
            continue
        source = find_source(name)
        if source is None:
            continue
        seen[name], imports = _read_module(name, source)
        waiting += [other for other in imports if _share_top(name, other) or (is_own(name) and _is_followed(other))]
        waiting += [".".join(name.split(".")[:i]) for i in range(1, name.count(".") + 1)]
    return seen


def digest(*parts: object) -> str:
    """Digest (16 hex digits) of values with an unambiguous `repr`."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


def _read_module(name: str, source: Path) -> tuple[str, list[str]]:
    """Digest of a module's normalised syntax tree, and the names it may import."""
    return _recall(name, source.name == "__init__.py", source.read_text())


@cache
def _hash_this() -> str:
    """What is remembered was found by this module as it is."""
    return hashlib.sha256(Path(__file__).read_bytes()).hexdigest()


def _share_top(name: str, other: str) -> bool:
    """Whether two modules are of one package."""
    return name.partition(".")[0] == other.partition(".")[0]


def _is_followed(name: str) -> bool:
    """Whether a module that a study's own plug-in imports is not of a library."""
    return _share_top(name, __name__) or find_beside(name) is not None


@cache
def _recall(name: str, is_package: bool, text: str) -> tuple[str, list[str]]:
    """What `_parse_module` says, from memory where the same text was parsed before by the same Python."""
    key = hashlib.sha256(f"{sys.version}\n{_hash_this()}\n{name}\n{is_package}\n{text}".encode()).hexdigest()
    path = _memory[0] / f"{key[:32]}.json" if _memory else None
    if path is not None:
        # The key is compared, too: a file may have been given another's name.
        found = read_cache(path)
        if found is not None and found["key"] == key:
            return found["digest"], found["imports"]
    value, imports = _parse_module(name, is_package, text)
    if path is not None:
        write_cache(path, {"module": name, "key": key, "digest": value, "imports": imports})
    return value, imports


def _parse_module(name: str, is_package: bool, text: str) -> tuple[str, list[str]]:
    tree = ast.parse(text)
    _drop_idle(tree)
    folder, _, last = name.rpartition(".")
    if last != "base" and not last.startswith("_"):
        _drop_constants(tree, STATED.get(folder, frozenset()))
    if name in RULES:
        _drop_keys(tree)
    package = name if is_package else name.rpartition(".")[0]
    imports: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imports |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                base = importlib.util.resolve_name("." * node.level + base, package)
            imports |= {base} | {f"{base}.{alias.name}" for alias in node.names}
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest(), sorted(imports)


def _drop_idle(tree: ast.Module) -> None:
    """Take docstrings and type-checking imports out of a tree."""
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if not isinstance(body, list):
            continue
        body[:] = [statement for statement in body if not _is_idle(statement)] or [ast.Pass()]


def _drop_constants(tree: ast.Module, names: frozenset[str]) -> None:
    """Take assignments to constants at the top of a module out of its tree."""
    tree.body = [
        statement
        for statement in tree.body
        if not (
            isinstance(statement, ast.Assign)
            and all(isinstance(target, ast.Name) and target.id in names for target in statement.targets)
        )
    ]


def _drop_keys(tree: ast.Module) -> None:
    """Take keys and their default values out of the classes of a tree; class variables, which rules read, stay."""
    for section in (node for node in tree.body if isinstance(node, ast.ClassDef)):
        section.body = [
            statement
            for statement in section.body
            if not isinstance(statement, ast.AnnAssign) or "ClassVar" in ast.dump(statement.annotation)
        ] or [ast.Pass()]


def _is_idle(statement: ast.stmt) -> bool:
    if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
        return isinstance(statement.value.value, str)
    if isinstance(statement, ast.If):
        test = statement.test
        name = test.id if isinstance(test, ast.Name) else test.attr if isinstance(test, ast.Attribute) else ""
        return name == "TYPE_CHECKING" and not statement.orelse
    return False
