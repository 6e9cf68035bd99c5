"""Mutants of the modules that apply the scope, and which of them the checks of isolation let pass.

Each is tried in a process of its own, forked before any module of ours is imported: the mutated one then comes from the
mutant's source, and all others from their files.
"""

import ast
import asyncio
import gc
import os
import pickle
import signal
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_loader
from pathlib import Path
from types import ModuleType
from typing import Any

MUTATED: Mapping[str, Sequence[str]] = {
    "gateway.storage.scope": (
        "in_scope", "scope_values", "of_leak", "of_organization", "visible_node", "as_shown", "_date_in_scope",
    ),
    "gateway.storage.pages": ("_leaks_by", "_candidates_by"),
    "gateway.storage.bounds": ("settings_of", "_array"),
    "schema.scope": (
        "domains_by_id", "domains_by_number", "require", "default_scope", "scope", "scope_naming", "_scope",
        "parse_uuid", "canonical_uuid",
    ),
}  # fmt: skip
"""The modules, and the functions of each that are mutated."""

_EQUIVALENT: Mapping[str, Sequence[str]] = {
    "of_leak": (
        "of_organization(link) & (link.c.leak_id == leak.c.id) & (link.c.domain_number == leak.c.domain_number) -> of_organization(link) & (link.c.leak_id == leak.c.id)",
        "of_organization(link) & (link.c.leak_id == leak.c.id) -> link.c.leak_id == leak.c.id",
    ),
    "visible_node": (
        "exists(literal_column('1')).select_from(_looked_through(link, dialect, by_domain=by_domain)) -> exists(literal_column('1')).select_from()",
    ),
    "as_shown": ("not restricted or kind is not Kind.ENDPOINT -> not restricted",),
    "_candidates_by": (
        "of_organization(drivers) & (drivers.c[column] == bindparam(at + by)) -> drivers.c[column] == bindparam(at + by)",
        " for part in shape.filter if part != by ->  for part in shape.filter",
        "Source.of(Kind.LEAK, via, f'{at}of_') -> Source.of(Kind.LEAK, via)",
        "of_organization(source.rows) & source.leak_id.in_(ids.correlate(drivers)) -> source.leak_id.in_(ids.correlate(drivers))",
        "not source.are_leaks -> source.are_leaks",
    ),
}
EQUIVALENT = frozenset(f"{function}: {change}" for function, changes in _EQUIVALENT.items() for change in changes)
"""Changes that no answer can tell: more rows are looked at, and what is not in the scope is kept out all the same."""

_UNTOLD_SITES: Mapping[str, Sequence[str]] = {
    # A link is joined with a thing of its own organization, and that is the scope's.
    "leaks_of": ("of_organization(link)",),
    # What candidates there are is asked of leaks in the scope again.
    "_candidates_by": ("of_organization(drivers)", "of_organization(source.rows)"),
    # Rows are counted to choose the access path: each has a scope of its own.
    "Source": ("of_organization(self.rows)",),
    "LeakList": ("self.source.is_in_list(self.parent)",),
    "InOrder": ("listed.source.is_in_list(listed.parent)", "in_scope(seen, listed.dialect)"),
    "ByValues": ("of_organization(self.listed.rows)",),
    # PostgreSQL alone goes there, and has row-level security behind it.
    "ByNameLateral": ("source.is_in_scope(listed.dialect)",),
}
UNTOLD_SITES = frozenset(f"{part}: without {call}" for part, calls in _UNTOLD_SITES.items() for call in calls)
"""Calls whose lack no answer can tell."""

ORIGINAL = "the original"
_TRUE = ast.parse("__import__('sqlalchemy').true()", mode="eval").body
_CHECKS = (
    ("tests.isolation.checks", "assert_isolates"),
    ("tests.isolation.lists", "assert_every_list_holds_its_own"),
)
_PROCESSES = 2
_MOST_SECONDS = 60
_WARM = ("alembic.command", "asyncpg", "databases", "httpx", "starlette.applications", "strawberry", "uvicorn")
_OPPOSITES: Mapping[type[ast.AST], type[Any]] = {
    ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is,
    ast.LtE: ast.Lt, ast.Lt: ast.LtE, ast.GtE: ast.Gt, ast.Gt: ast.GtE, ast.And: ast.Or, ast.Or: ast.And,
    ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd,
}  # fmt: skip


@dataclass(frozen=True)
class Mutant:
    """A module with one thing in it that is not as it was.

    Attributes:
        change: What is other.
        module: The module's name.
        source: All of it.
        is_site: Whether a call that applies the scope was left out.
    """

    change: str
    module: str = ""
    source: str = ""
    is_site: bool = False


# ------------------------------------------------------------------ to make them


def mutants(root: Path) -> Iterator[Mutant]:
    """The original, and every mutant of the sources below a folder that an answer could tell."""
    yield Mutant(ORIGINAL)
    yield from (mutant for mutant in all_mutants(root) if mutant.change not in EQUIVALENT)
    yield from (mutant for mutant in sites(root) if mutant.change not in UNTOLD_SITES)


def all_mutants(root: Path) -> Iterator[Mutant]:
    """Every mutant."""
    for module, functions in MUTATED.items():
        tree = ast.parse(root.joinpath(*module.split(".")).with_suffix(".py").read_text())
        found = [one for one in ast.walk(tree) if isinstance(one, ast.FunctionDef) and one.name in functions]
        for function in found:
            yield from _of_function(module, tree, function)


def sites(root: Path) -> Iterator[Mutant]:
    """Every call that puts the scope into a statement, left out."""
    folder = root / "gateway" / "storage"
    applying = _applying(folder)
    for path in sorted(folder.glob("*.py")):
        if path.stem != "scope":
            yield from _without_scope(f"gateway.storage.{path.stem}", ast.parse(path.read_text()), applying)


def _applying(folder: Path) -> set[str]:
    """What applies the scope: the conditions of its module, and the methods of rows that are made of them."""
    scope, shapes = (ast.parse((folder / f"{name}.py").read_text()) for name in ("scope", "shapes"))
    found = {one.name for one in _functions(scope) if ast.unparse(one.returns or scope) == "Condition"}
    for _ in range(2):
        found |= {one.name for one in _functions(shapes) if any(_called(node) in found for node in ast.walk(one))}
    return found | {"as_shown"}


def _functions(tree: ast.Module) -> list[ast.FunctionDef]:
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]


def _called(node: ast.AST) -> str | None:
    match node:
        case ast.Call(ast.Name(name) | ast.Attribute(attr=name)):
            return name
    return None


def _without_scope(module: str, tree: ast.Module, applying: Collection[str]) -> Iterator[Mutant]:
    parts = [one for one in tree.body if isinstance(one, (ast.FunctionDef, ast.ClassDef))]
    for part in parts:
        for call in (node for node in _walked(part) if _called(node) in applying):
            nothing = call.args[0] if isinstance(call, ast.Call) and _called(call) == "as_shown" else _TRUE
            change = f"{part.name}: without {ast.unparse(call)}"
            yield Mutant(change, module, _with_put(tree, call, nothing), is_site=True)


def _walked(node: ast.AST) -> Iterator[ast.AST]:
    """A node and all below it, but for what PostgreSQL alone runs."""
    yield node
    own = node.orelse if isinstance(node, ast.If) and _is_of_dialect(node.test) else []
    for child in ast.iter_child_nodes(node):
        if child not in own:
            yield from _walked(child)


def _is_of_dialect(test: ast.expr) -> bool:
    return isinstance(test, ast.Compare) and ast.unparse(test) == "dialect is SQLITE"


def _of_function(module: str, tree: ast.Module, function: ast.FunctionDef) -> Iterator[Mutant]:
    for node in [node for statement in _told(function) for node in ast.walk(statement)]:
        for changed in _changes(node):
            change = f"{function.name}: {ast.unparse(node)} -> {ast.unparse(changed)}"
            yield Mutant(change, module, _with_put(tree, node, changed))


def _with_put(tree: ast.Module, old: ast.AST, new: ast.AST) -> str:
    """The source of a module with one node in the place of another."""
    copies: dict[int, Any] = {}
    copied = deepcopy(tree, copies)
    return ast.unparse(_Put(copies[id(old)], new).visit(copied))


def _told(function: ast.FunctionDef) -> Iterator[ast.stmt]:
    """The statements that SQLite runs; PostgreSQL's own come behind those from which it returns."""
    for statement in function.body:
        match statement:
            case ast.If(test=ast.Compare(left=ast.Name("dialect"))):
                yield from statement.body
                return
        yield statement


class _Put(ast.NodeTransformer):
    """Puts one node in the place of another."""

    def __init__(self, old: ast.AST, new: ast.AST) -> None:
        self._old = old
        self._new = new

    def visit(self, node: ast.AST) -> Any:
        return self._new if node is self._old else super().visit(node)


def _changes(node: ast.AST) -> Iterator[ast.AST]:
    """What could stand in a node's place by mistake."""
    match node:
        case ast.BinOp(left, operator, right) if type(operator) in _OPPOSITES:
            yield from (left, right, ast.BinOp(left, _OPPOSITES[type(operator)](), right))
        case ast.BoolOp(operator, values):
            yield from (*values, ast.BoolOp(_OPPOSITES[type(operator)](), values))
        case ast.Compare(left, operators, values):
            for others in _with_one_changed(operators):
                yield ast.Compare(left, others, values)
        case ast.UnaryOp(ast.Not() | ast.Invert(), operand):
            yield operand
        case ast.comprehension(target, values, conditions, is_async) if conditions:
            yield from (ast.comprehension(target, values, fewer, is_async) for fewer in _with_one_less(conditions))
        case ast.Dict(keys, values):
            pairs = _with_one_less(list(zip(keys, values, strict=True)))
            yield from (ast.Dict([key for key, _ in fewer], [value for _, value in fewer]) for fewer in pairs)
        case ast.Call():
            yield from _changes_of_call(node)


def _changes_of_call(call: ast.Call) -> Iterator[ast.AST]:
    """Each argument left out, where that is no error that Python itself tells and no matter of a name alone."""
    match call.func:
        case ast.Name(name) if name.islower():
            return
        case ast.Attribute(attr="alias" | "subquery"):
            return
    yield from (ast.Call(call.func, fewer, call.keywords) for fewer in _with_one_less(call.args))
    yield from (ast.Call(call.func, call.args, fewer) for fewer in _with_one_less(call.keywords))
    yield from (ast.Call(call.func, call.args, others) for others in _with_one_null(call.keywords))


def _with_one_less(nodes: Sequence[Any]) -> Iterator[list[Any]]:
    return ([*nodes[:at], *nodes[at + 1 :]] for at in range(len(nodes)))


def _with_one_null(keywords: Sequence[ast.keyword]) -> Iterator[list[ast.keyword]]:
    for at, keyword in enumerate(keywords):
        if ast.unparse(keyword.value) != "None":
            yield [*keywords[:at], ast.keyword(keyword.arg, ast.Constant(None)), *keywords[at + 1 :]]


def _with_one_changed(operators: Sequence[ast.cmpop]) -> Iterator[list[Any]]:
    for at, operator in enumerate(operators):
        yield [*operators[:at], _OPPOSITES[type(operator)](), *operators[at + 1 :]]


# ------------------------------------------------------------------- to try them


def survivors(root: Path, tenants: bytes) -> list[str]:
    """The changes that no check tells."""
    for name in _WARM:
        import_module(name)
    # Each child lives for a moment: collecting, it would copy what it shares with this process.
    gc.disable()
    running: dict[int, str] = {}
    survived = []
    for mutant in (*mutants(root), None):
        while running and (mutant is None or len(running) >= _PROCESSES):
            process, status = os.wait()
            change = running.pop(process)
            survived += [change] if status == 0 else []
        if mutant is not None:
            running[_start(mutant, tenants)] = mutant.change
    return survived


def _start(mutant: Mutant, tenants: bytes) -> int:
    process = os.fork()
    if process == 0:
        os._exit(_try(mutant, tenants))
    return process


def _try(mutant: Mutant, tenants: bytes) -> int:
    """0 where every check holds, in a process that ends here."""
    signal.alarm(_MOST_SECONDS)
    if mutant.change != ORIGINAL:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())
    sys.meta_path.insert(0, _Finder(mutant))
    try:
        for module, check in reversed(_CHECKS) if mutant.is_site else _CHECKS:
            holds = getattr(import_module(module), check)
            asyncio.run(holds(pickle.loads(tenants)))  # noqa: S301 - our own
    except BaseException as error:  # noqa: BLE001 - whatever it is, it was told
        sys.stderr.write(f"{error!r}\n")
        return 1
    return 0


class _Finder(MetaPathFinder, Loader):
    """Finds one module in a mutant's source."""

    def __init__(self, mutant: Mutant) -> None:
        self._mutant = mutant

    def find_spec(self, fullname: str, _path: Any, _target: Any = None) -> ModuleSpec | None:
        return spec_from_loader(fullname, self) if fullname == self._mutant.module else None

    def exec_module(self, module: ModuleType) -> None:
        exec(compile(self._mutant.source, module.__name__, "exec"), vars(module))  # noqa: S102 - this is the mutant


if __name__ == "__main__":
    sys.stdout.write("\n".join(survivors(Path.cwd(), sys.stdin.buffer.read())))
