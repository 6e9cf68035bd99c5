"""Operations made up from the schema that put what belongs to others into every argument that could take it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from graphql import GraphQLInputObjectType, GraphQLInterfaceType, GraphQLObjectType, GraphQLSchema, get_named_type

from tests.schema.execution.generator import Generator

_PLACES = ("after", "before")


@dataclass(frozen=True)
class Owned:
    """What an organization has that somebody else could send."""

    ids: list[str]
    cursors: list[str]
    texts: list[str]


@dataclass
class Feeder(Generator):
    """Makes operations, and notes whose things it put into which part of the schema.

    Attributes:
        owned: What is fed, by organization.
        fed: The arguments and input fields, each with the organization whose things it was given.
    """

    owned: Mapping[str, Owned] = field(default_factory=dict)
    fed: set[tuple[str, str]] = field(default_factory=set)
    _part: str = ""

    def _visit(self, part: str) -> None:
        self._part = part
        super()._visit(part)

    def _is_due(self, part: str) -> bool:
        lacking = part in self.takers and any((part, owner) not in self.fed for owner in self.owned)
        return super()._is_due(part) or (lacking and self.random.random() < 0.4)

    @cached_property
    def takers(self) -> set[str]:
        """The parts that take an id, a cursor or a text."""
        return takers(self.schema)

    def _scalar(self, name: str, type_: str) -> Any:
        match name, type_:
            case "domainIds", _ if self.domain_ids and self.random.random() < 0.7:
                return self.random.choice(self.domain_ids)
            case _, "String" if name in _PLACES:
                return self._of_somebody("cursors")
            case _, "ID":
                return self._of_somebody("ids")
            case _, "String" if self.random.random() < 0.8:
                return self._of_somebody("texts")
        return super()._scalar(name, type_)

    def _of_somebody(self, what: str) -> Any:
        """A thing of one whose things this part was not given yet, or of anybody."""
        lacking = [owner for owner in self.owned if (self._part, owner) not in self.fed]
        owner = self.random.choice(lacking or list(self.owned))
        self.fed.add((self._part, owner))
        return self.random.choice(getattr(self.owned[owner], what))


def takers(schema: GraphQLSchema) -> set[str]:
    """The arguments and the fields of inputs that take an id or a text."""
    found = set()
    for type_ in schema.type_map.values():
        if type_.name.startswith("__"):
            continue
        if isinstance(type_, (GraphQLObjectType, GraphQLInterfaceType)):
            for name, one in type_.fields.items():
                given = {f"{type_.name}.{name}({argument})": taken.type for argument, taken in one.args.items()}
                found |= {part for part, taken in given.items() if _takes_text(taken)}
        elif isinstance(type_, GraphQLInputObjectType):
            found |= {f"{type_.name}.{name}" for name, one in type_.fields.items() if _takes_text(one.type)}
    return found


def _takes_text(type_: Any) -> bool:
    return get_named_type(type_).name in {"ID", "String"}
