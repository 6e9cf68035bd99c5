"""Batch resolvers: a field is resolved once for all its parents.

A batch resolver takes all parents of a level and returns a `Batch`: the reads that it needs, and a function from their
answers to one value for each parent. Strawberry's interpreter gathers the parents with a DataLoader.
"""

import inspect
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias, TypeVar

import strawberry
from graphql.pyutils import Path
from strawberry import UNSET
from strawberry.types import Info

from schema.budget import Budget, Unlimited
from schema.loaders import Loaders
from schema.pages import PageLimits
from schema.scope import Caller, Scope
from schema.store import Answer, Level, Program, Read, Store, ask

T = TypeVar("T")

BATCH = "batch"
"""The key of a field's metadata that holds its batch resolver."""

NEEDS = "needs"
"""The key of a field's metadata that names the columns of its parents that the resolver reads."""

SAME = "same"
"""The key of a field's metadata that says whether its object is made from the parent's own record."""


class Batch(NamedTuple):
    """What a field needs for all its parents.

    Attributes:
        reads: What the store is asked, all at once.
        values: From the answers to one value for each parent, in the order of the parents.
    """

    reads: tuple[Read, ...]
    values: Callable[[Sequence[Answer]], Sequence[Any]]


def at_hand(values: Sequence[Any]) -> Batch:
    """The batch of a field whose values are known without a read."""
    return Batch((), lambda _: values)


@dataclass(slots=True)
class Branch:
    """A root field and everything below it, all in the scope that the root field entered."""

    scope: Scope


@dataclass(slots=True)
class Request:
    """The context of an operation: who asks, of which store, within which limits.

    Attributes:
        levels: What each level of reads cost, appended as they are made; None if that is not wanted.
        budget: What the operation's cost is taken from.
    """

    caller: Caller
    store: Store
    cursor_secret: bytes
    page_limits: PageLimits = field(default_factory=PageLimits)
    levels: list[Level] | None = None
    budget: Budget = field(default_factory=Unlimited)
    branches: dict[str | int, Branch] = field(default_factory=dict)
    loaders: Loaders | None = None

    def run(self, program: Program[T]) -> Awaitable[T]:
        """Run a program of reads.

        Raises:
            Unavailable: the store does not answer just now.
        """
        return self.store.run(program, self.levels)

    def branch(self, root_key: str | int) -> Branch:
        """The branch of a root field, by its response name."""
        return self.branches.setdefault(root_key, Branch(self.caller.default_scope))


class Call(NamedTuple):
    """One use of a field: what its resolver may know beside parents and arguments."""

    request: Request
    branch: Branch
    field_name: str

    @property
    def caller(self) -> Caller:
        """Who asks."""
        return self.request.caller

    def enter(self, scope: Scope) -> None:
        """Set the scope of the whole branch; for root fields only."""
        self.branch.scope = scope


BatchResolver: TypeAlias = Callable[..., Batch]
"""Takes the parents, a `Call`, and the field's arguments by name."""


def edge(
    resolve: BatchResolver,
    *,
    needs: tuple[str, ...] = ("id",),
    same: bool = False,
    directives: Sequence[object] = (),
) -> Any:
    """A field that is resolved by batch; its arguments are those of the resolver behind the first two.

    Args:
        resolve: The batch resolver; whether it raises depends on its arguments alone.
        needs: The columns of the parents that it reads.
        same: Whether each value is the parent itself, published as another type.
        directives: The cost directives to publish.
    """

    async def load(root: Any, info: Info, **arguments: Any) -> Any:
        return await _load(resolve, root, info, arguments)

    _, _, *parameters = inspect.signature(resolve).parameters.values()
    own = list(inspect.signature(load).parameters.values())[:2]
    named = [_optional(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)) for parameter in parameters]
    load.__signature__ = inspect.Signature([*own, *named])  # type: ignore[attr-defined]
    return strawberry.field(
        resolver=load,
        description=inspect.getdoc(resolve),
        metadata={BATCH: resolve, NEEDS: needs, SAME: same},
        directives=directives,
    )


def _optional(parameter: inspect.Parameter) -> inspect.Parameter:
    """Publish an optional argument without a default of null."""
    return parameter.replace(default=UNSET) if parameter.default is None else parameter


async def _load(resolve: BatchResolver, root: Any, info: Info, arguments: dict[str, Any]) -> Any:
    request: Request = info.context
    raw = info._raw_info  # noqa: SLF001 - Info publishes neither the parent's type nor its cheap path
    place = _place(raw.path)
    branch = request.branch(place[0][1])
    parent_type = raw.parent_type.name

    async def load_all(parents: Sequence[Any]) -> Sequence[Any]:
        batch = resolve(parents, Call(request, branch, f"{parent_type}.{raw.field_name}"), **arguments)
        answers = await request.run(ask(branch.scope, batch.reads)) if batch.reads else ()
        return batch.values(answers)

    if request.loaders is None:
        request.loaders = Loaders()
    return await request.loaders.load(place, load_all, root)


def _place(path: Path | None) -> tuple[tuple[str | None, str], ...]:
    """Where a field stands in the response: its types and names from the root, list positions aside.

    With the types: below fragments on two of them, one name may stand for two fields, or for other arguments.
    """
    steps = []
    while path is not None:
        if isinstance(path.key, str):
            steps.append((path.typename, path.key))
        path = path.prev
    return tuple(reversed(steps))
