"""Digests of source code that ignore comments and layout, and the libraries that this code imports.

Packages run by `python -m` are invisible to Snakemake; a digest in a rule's `params` makes its results
depend on the command that the rule calls and on every first-party module that it imports, directly or not.

A module counts as a whole, unless it is one of `SLICED`: then only the definitions count that others use, such as a command of the
command line, a table, a constant, or a section of the configuration. The keys of a section and their checks do not count: they
decide values, which are in the params of a job.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import astuple, dataclass
from functools import cache
from pathlib import Path

from emoadapt.flow.provenance import name_distribution, name_versions
from emoadapt.plugins import find_beside, find_source, is_own
from emoadapt.storage.caches import read_cache, write_cache

EXEMPT = {
    "emoadapt.__version__": "names the release, which is in params with `code: version`",
    "emoadapt.plugins": "finds plug-ins by name; the caller names the module",
    "emoadapt.config.architectures": "finds sections by name; what a section says is in params",
    "emoadapt.config.augmenting.join_augmentations": "finds sections by name; what a section says is in params",
    "emoadapt.config.features": "finds sections by name; what a section says is in params",
    "emoadapt.config.importers": "finds sections by name; what a section says is in params",
    "emoadapt.config.methods": "finds sections by name; what a section says is in params",
    "emoadapt.config.papers": "finds a table of published values, whose bytes are in params",
    "emoadapt.config.reading": "reads the configuration; what a job reads of it is in params",
    "emoadapt.config.study": "lists models, runs and weights; a job's own are in its name and params",
    "emoadapt.fixes": "proposes values of keys that would fix a problem",
    "emoadapt.errors.Change": "says how to fix a problem",
    "emoadapt.errors.Command": "says how to fix a problem",
    "emoadapt.errors.EmoadaptError": "carries what is wrong; what is computed does not depend on it",
    "emoadapt.errors.Problem": "says what is wrong",
    "emoadapt.errors.Problems": "says what is wrong",
    "emoadapt.errors.Removal": "says how to fix a problem",
    "emoadapt.errors.find_near": "says what a misspelt name may mean",
    "emoadapt.errors.name_known": "says what a misspelt name may mean",
    "emoadapt.errors.explain_missing_library": "says which library is missing",
    "emoadapt.errors.explain_extra": "says which library is missing",
    "emoadapt.cli._study": "reads the configuration; what a job reads of it is in params",
    "emoadapt.cli._take_gpus": "shares out GPUs",
    "emoadapt.cli._origins": "names inputs; Snakemake is told the same, and compares them",
    "emoadapt.cli._claim": "states what outputs are made from; Snakemake compares it",
    "emoadapt.study.graph": "names inputs and params; Snakemake is told the same, and compares them",
    "emoadapt.listing.manifests": "lists a corpus; what it lists is in params by content",
    "emoadapt.weights.registry": "finds weights; what it finds is in params by content",
    "emoadapt.weights.cards": "writes text for people beside a model",
    "emoadapt.flow.code": "computes digests, which are in params",
    "emoadapt.flow.provenance": "reads versions, which are in params",
    "emoadapt.tasks.refusals": "refuses a training; one that is not refused does not depend on it",
    "emoadapt.extraction.recipes": "says what decides a row, which is in params and row keys",
    "emoadapt.extraction.workers": "hands rows to processes and takes their results back as they are; a failure is computed again",
    "emoadapt.machine.devices": "finds and shares out GPUs",
    "emoadapt.machine.processes": "starts processes, and tells them their rank",
    "emoadapt.machine.progress": "reports progress",
    "emoadapt.machine.run": "decides whether a job may publish, and not what",
    "emoadapt.machine.starting": "imports fast, and collects garbage",
    "emoadapt.training.logs": "writes logs",
    "emoadapt.training.watchers": "hands losses on to logs and a bar",
}
"""Module -> reason why no result depends on its code, though jobs run it. What only it imports is not followed either."""

SLICED = ("emoadapt", "emoadapt.cli", "emoadapt.config", "emoadapt.errors", "emoadapt.schema")
"""Modules, and those of the package `emoadapt.config`, of which only the definitions count that others use."""

IDLE_LIBRARIES = {
    "huggingface_hub": "finds weights, which count by content",
    "pyarrow": "stores values, and compares and selects them, all exactly",
    "pydantic": "reads the configuration",
    "rich": "draws on the terminal",
    "safetensors": "stores tensors as they are",
    "tensorboardX": "writes logs",
    "typer": "reads the command line",
    "yaml": "reads the configuration",
}
"""Library -> reason why its version decides no result."""

CARRIERS = ("emoadapt.storage.",)
"""Packages that store and return values as they are, whatever the versions of the libraries that they do it with."""

DECLARED, CONDITIONAL = "LIBRARIES", "CONDITIONAL_LIBRARIES"
"""Literals of a module: distributions that it uses without importing them, and libraries that it imports for some settings only. A
section names the latter where they are in use (`list_libraries`)."""

STATED = {"emoadapt.features": frozenset({"TABLE", "TERMS", "JOB"})}
"""Package of plug-ins -> constants of the plug-ins that are left out: columns stand in the params and row keys of a job, and the
others decide no result. In a module that plug-ins share, such a name is like any other."""


@dataclass(frozen=True)
class Definition:
    """A module, or one definition of a sliced one.

    Args:
        digest: of its syntax tree.
        imports: names that it may import: modules, and definitions in them.
        declared: distributions that it uses without importing them.
        conditional: libraries that it imports for some settings only.
    """

    digest: str
    imports: tuple[str, ...]
    declared: tuple[str, ...] = ()
    conditional: tuple[str, ...] = ()


_memory: list[Path] = []
"""The folder in which parsed modules are remembered, if any."""


def remember_modules(folder: Path) -> None:
    """Keep what is found in a module, under a name made of its text, so that the next process need not parse it."""
    _memory[:] = [folder]


@cache
def code_digest(*modules: str) -> str:
    """Digest (12 hex digits) of modules and all modules of the same package that they import.

    Imports inside functions count; imports under `if TYPE_CHECKING:` do not, as they never run, except those of sections of the
    configuration, which arrive as arguments. A module that is chosen at run time by name must be named by the caller.

    Args:
        modules: modules, or definitions of sliced ones such as `emoadapt.cli.split`.

    Raises:
        ModuleNotFoundError: a named module does not exist.
    """
    covered = read_covered(*modules)
    if missing := [name for name in modules if name not in covered]:
        raise ModuleNotFoundError(f"no source of module {missing[0]}")
    return _hash(covered)


@cache
def own_digest(*modules: str) -> str:
    """Digest, as `code_digest`, of what a study brings itself among the modules that it would cover; empty where that is nothing."""
    own = {name: found for name, found in read_covered(*modules).items() if is_own(name)}
    return _hash(own) if own else ""


@cache
def list_libraries(*modules: str) -> tuple[str, ...]:
    """Distributions that the modules covered by `code_digest` import or declare.

    Left out are those that decide nothing, and those that are imported for some settings only.
    """
    covered = read_covered(*modules)
    declared = {library for found in covered.values() for library in found.declared}
    tops = {
        top
        for name, found in covered.items()
        if not name.startswith(CARRIERS)
        for top in _list_foreign(name, found)
        if top not in found.conditional and top not in IDLE_LIBRARIES and top not in sys.stdlib_module_names
    }
    return tuple(sorted(declared.union(filter(None, map(name_distribution, tops)))))


def describe_libraries(*modules: str, also: Iterable[str] = ()) -> str:
    """Versions of what `list_libraries` finds and of further distributions, as `<name>==<version> ...`, sorted."""
    return name_versions({*list_libraries(*modules), *also})


def find_reason(name: str) -> str | None:
    """Reason why a module, or the module of a definition, is in no digest; None if it has none."""
    return next((EXEMPT[part] for part in (name, *_list_packages(name)) if part in EXEMPT), None)


def read_covered(*modules: str) -> dict[str, Definition]:
    """Modules, and definitions of sliced ones, that the digest of `modules` covers."""
    seen: dict[str, Definition] = {}
    read: dict[str, dict[str, Definition]] = {}
    waiting = list(modules)
    while waiting:
        name = waiting.pop()
        if name in seen or (name not in modules and find_reason(name)):
            continue
        if found := _find_definition(name, read):
            seen[name] = found
            waiting += _list_followed(name, found)
            waiting += _list_packages(name)
    return seen


def digest(*parts: object) -> str:
    """Digest (16 hex digits) of values with an unambiguous `repr`."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


def _hash(covered: dict[str, Definition]) -> str:
    text = "\n".join(f"{name}={covered[name].digest}" for name in sorted(covered))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _list_packages(name: str) -> list[str]:
    """The packages that a module is in, outermost first."""
    return [".".join(name.split(".")[:i]) for i in range(1, name.count(".") + 1)]


def is_sliced(module: str) -> bool:
    """Whether only those definitions of a module count that others use."""
    return module in SLICED or module.startswith("emoadapt.config.")


def _find_definition(name: str, read: dict[str, dict[str, Definition]]) -> Definition | None:
    """A definition of a sliced module, or a module; None where there is none. `read` keeps what was read of modules."""
    folder, _, last = name.rpartition(".")
    if is_sliced(folder) and (found := _read_module(folder, read).get(last)):
        return found
    return _read_module(name, read).get("")


def _read_module(name: str, read: dict[str, dict[str, Definition]]) -> dict[str, Definition]:
    """Definitions of a sliced module by name; of any other the whole, under an empty name; nothing where there is no module."""
    if name not in read:
        source = find_source(name)
        read[name] = {} if source is None else _recall(name, source.name == "__init__.py", read_source(source))
    return read[name]


def read_source(source: Path) -> str:
    """Text of a module."""
    return source.read_text()


@cache
def _hash_this() -> str:
    """What is remembered was found by this module as it is."""
    return hashlib.sha256(Path(__file__).read_bytes()).hexdigest()


def _list_followed(name: str, found: Definition) -> list[str]:
    """Imports of a module of its package; for a study's own plug-in also of this one, and of the study itself."""
    tops = {name.partition(".")[0]}
    if not is_own(name):
        return [other for other in found.imports if other.partition(".")[0] in tops]
    tops.add(__name__.partition(".")[0])
    return [other for other in found.imports if other.partition(".")[0] in tops or find_beside(other) is not None]


def _list_foreign(name: str, found: Definition) -> set[str]:
    """Libraries that a module imports."""
    return {other.partition(".")[0] for other in {*found.imports} - {*_list_followed(name, found)}}


@cache
def _recall(name: str, is_package: bool, text: str) -> dict[str, Definition]:
    """What `_parse_module` says, from memory where the same text was parsed before by the same Python."""
    key = hashlib.sha256(f"{sys.version}\n{_hash_this()}\n{name}\n{is_package}\n{text}".encode()).hexdigest()
    path = _memory[0] / f"{key[:32]}.json" if _memory else None
    if path is not None:
        # The key is compared, too: a file may have been given another's name.
        cached = read_cache(path)
        if cached is not None and cached["key"] == key:
            return {part: _check(*values) for part, values in cached["definitions"].items()}
    found = _parse_module(name, is_package, text)
    if path is not None:
        parts = {part: astuple(definition) for part, definition in found.items()}
        write_cache(path, {"module": name, "key": key, "definitions": parts})
    return found


def _check(digest: str, *names: list[str]) -> Definition:
    return Definition(digest, *map(tuple, names))


def _parse_module(name: str, is_package: bool, text: str) -> dict[str, Definition]:
    tree = ast.parse(text)
    package = name if is_package else name.rpartition(".")[0]
    # A section arrives as an argument, so that only its annotation says which one it is.
    sections = {name for name in _list_imports(ast.walk(tree), package) if name.startswith("emoadapt.config.")}
    _drop_idle(tree)
    folder, _, last = name.rpartition(".")
    if last != "base" and not last.startswith("_"):
        _drop_constants(tree, STATED.get(folder, frozenset()))
    nodes = [*ast.walk(tree)]
    bound = {binding: target for node in nodes for binding, target in _list_bindings(node, package).items()}
    if is_sliced(name):
        return dict(_slice(name, package, tree, bound))
    imports = sections | _list_imports(nodes, package) | _list_uses(nodes, bound)
    libraries = (_read_names(tree, constant) for constant in (DECLARED, CONDITIONAL))
    return {"": Definition(_hash_tree(tree), tuple(sorted(imports)), *libraries)}


def _slice(name: str, package: str, tree: ast.Module, bound: dict[str, str]) -> Iterator[tuple[str, Definition]]:
    """Each definition at the top of a module, with what it uses of this and other modules."""
    at_top = {binding: target for node in tree.body for binding, target in _list_bindings(node, package).items()}
    defined = {defined: node for node in tree.body for defined in _list_defined(node)}
    for binding, target in at_top.items():
        yield binding, Definition("", tuple(filter(None, (target, target.rpartition(".")[0]))))
    for own, node in defined.items():
        _drop_unread(node)
        nodes = [*ast.walk(node)]
        used = (_list_used(nodes) - {own}) & (defined.keys() | at_top.keys())
        imports = {f"{name}.{other}" for other in used} | _list_imports(nodes, package) | _list_uses(nodes, bound)
        yield own, Definition(_hash_tree(node), tuple(sorted(imports)))


def _list_defined(node: ast.stmt) -> list[str]:
    """Names that a statement at the top of a module defines."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return [node.name]
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    return [name.id for target in targets for name in ast.walk(target) if isinstance(name, ast.Name)]


def _list_used(nodes: Sequence[ast.AST]) -> set[str]:
    """Names that a definition reads and does not bind itself."""
    names = [node for node in nodes if isinstance(node, ast.Name)]
    arguments = {node.arg for node in nodes if isinstance(node, ast.arg)}
    return {name.id for name in names} - arguments - {name.id for name in names if not isinstance(name.ctx, ast.Load)}


def _list_bindings(node: ast.AST, package: str) -> dict[str, str]:
    """Names that an import statement binds, with what they stand for."""
    if isinstance(node, ast.Import):
        return {alias.asname or alias.name.partition(".")[0]: alias.name for alias in node.names}
    if not isinstance(node, ast.ImportFrom):
        return {}
    base = node.module or ""
    if node.level:
        base = importlib.util.resolve_name("." * node.level + base, package)
    return {alias.asname or alias.name: f"{base}.{alias.name}" for alias in node.names}


def _list_imports(nodes: Iterable[ast.AST], package: str) -> set[str]:
    """Names that statements may import: modules, and definitions in them."""
    found: set[str] = set()
    for node in nodes:
        names = set(_list_bindings(node, package).values())
        found |= names | {name.rpartition(".")[0] for name in names if isinstance(node, ast.ImportFrom)}
    return found


def _list_uses(nodes: Iterable[ast.AST], bound: dict[str, str]) -> set[str]:
    """Attributes that code takes of sliced modules that it imports, such as `emoadapt.schema.SPLITS`."""
    return {
        f"{bound[node.value.id]}.{node.attr}"
        for node in nodes
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and is_sliced(bound.get(node.value.id, ""))
    }


def _hash_tree(tree: ast.AST) -> str:
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest()


def _read_names(tree: ast.Module, constant: str) -> tuple[str, ...]:
    """Names that a module lists in a literal."""
    values = [node.value for node in tree.body if isinstance(node, ast.Assign) and _list_defined(node) == [constant]]
    return tuple(ast.literal_eval(values[0])) if values else ()


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


def _drop_unread(node: ast.stmt) -> None:
    """Take out of a definition of a sliced module what no job reads.

    Those are keys of a section, their defaults and their checks (class variables and methods stay), what the command line
    prints of an option, and the description of a column.
    """
    if isinstance(node, ast.ClassDef):
        node.body = [part for part in node.body if not _is_key(part)] or [ast.Pass()]
    if isinstance(node, ast.FunctionDef):
        node.decorator_list, node.returns = [], None
        for argument in ast.walk(node.args):
            if isinstance(argument, ast.arg):
                argument.annotation = None
    for call in ast.walk(node):
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "column":
            del call.args[2:]


def _is_key(part: ast.stmt) -> bool:
    if isinstance(part, ast.AnnAssign):
        return "ClassVar" not in ast.dump(part.annotation)
    return isinstance(part, ast.FunctionDef) and any("_validator" in ast.dump(mark) for mark in part.decorator_list)


def _is_idle(statement: ast.stmt) -> bool:
    if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
        return isinstance(statement.value.value, str)
    if isinstance(statement, ast.If):
        test = statement.test
        name = test.id if isinstance(test, ast.Name) else test.attr if isinstance(test, ast.Attribute) else ""
        return name == "TYPE_CHECKING" and not statement.orelse
    return False
