"""Operations made up from the schema itself: whatever it has is asked for, in every way that GraphQL has for asking."""

import json
from dataclasses import dataclass, field
from random import Random
from typing import Any

from graphql import (
    GraphQLEnumType,
    GraphQLField,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLSchema,
    get_named_type,
    is_leaf_type,
    is_required_argument,
    is_required_input_field,
)

MOST_DEPTH = 6
_SELDOM = {"first": 0.02, "last": 0.02, "after": 0.01, "before": 0.01, "domainIds": 0.06}


@dataclass
class Made:
    """An operation with its variables, and the parts of the schema that it asks for."""

    query: str
    variables: dict[str, Any]
    parts: frozenset[str] = frozenset()


@dataclass
class Generator:
    """Makes operations, and notes which parts of the schema they visited.

    Attributes:
        schema: What is asked.
        random: Where every choice comes from.
        ids: Ids worth asking for: of things of every type, in scope and out of it, of others, and none at all.
        domain_ids: Ids of domains that a key may see.
        cursors: Cursors that lists gave out, and forged ones.
        visited: The fields, arguments and enum values that were asked for so far.
    """

    schema: GraphQLSchema
    random: Random
    ids: list[str]
    domain_ids: list[str]
    cursors: list[str]
    visited: set[str] = field(default_factory=set)
    _parts: set[str] = field(default_factory=set)
    _fragments: list[str] = field(default_factory=list)
    _declared: dict[str, str] = field(default_factory=dict)
    _variables: dict[str, Any] = field(default_factory=dict)

    def make(self) -> Made:
        """One operation."""
        self._parts, self._fragments, self._declared, self._variables = set(), [], {}, {}
        query = self.schema.query_type
        assert query is not None
        body = self._selections(query, 0)
        declared = ", ".join(f"${name}: {type_}" for name, type_ in self._declared.items())
        head = f"query Made({declared})" if declared else "query Made"
        return Made(" ".join([f"{head} {body}", *self._fragments]), dict(self._variables), frozenset(self._parts))

    def _visit(self, part: str) -> None:
        self._parts.add(part)
        self.visited.add(part)

    def _is_due(self, part: str) -> bool:
        """Whether a part is asked for, however seldom that is."""
        return part not in self.visited

    def _selections(self, type_: GraphQLObjectType | GraphQLInterfaceType, depth: int) -> str:
        fields = [
            name for name, one in type_.fields.items() if depth < MOST_DEPTH or is_leaf_type(get_named_type(one.type))
        ]
        chosen = self.random.choices(fields, k=self.random.choice((1, 1, 2, 3))) if fields else []
        parts = [self._field(type_, name, depth, place) for place, name in enumerate(chosen)]
        if not parts or self.random.random() < 0.15:
            parts.append("__typename")
        if isinstance(type_, GraphQLInterfaceType):
            kinds = self.schema.get_possible_types(type_)
            parts += [
                f"... on {kind.name} {self._selections(kind, depth + 1)}" for kind in self.random.sample(kinds, 2)
            ]
        return "{ " + " ".join(self._wrapped(type_, part) for part in parts) + " }"

    def _wrapped(self, type_: Any, part: str) -> str:
        """A selection as it is, or in a fragment, or under a condition."""
        chance = self.random.random()
        if chance < 0.08:
            return f"... on {type_.name} {{ {part} }}"
        if chance < 0.16:
            name = f"F{len(self._fragments)}"
            self._fragments.append(f"fragment {name} on {type_.name} {{ {part} }}")
            return f"...{name}"
        if chance < 0.24:
            return f"... {self._condition()} {{ {part} }}"
        return part

    def _condition(self) -> str:
        directive, value = self.random.choice(("include", "skip")), self.random.random() < 0.5
        if self.random.random() < 0.5:
            return f"@{directive}(if: {json.dumps(value)})"
        return f"@{directive}(if: {self._variable('Boolean!', value)})"

    def _field(self, type_: Any, name: str, depth: int, place: int) -> str:
        one: GraphQLField = type_.fields[name]
        self._visit(f"{type_.name}.{name}")
        target = get_named_type(one.type)
        # With arguments a name of its own, or two of them would not merge.
        alias = f"a{depth}_{place}_{self.random.randrange(10**6)}: " if one.args or self.random.random() < 0.1 else ""
        text = f"{alias}{name}{self._arguments(type_, name, one, depth)}"
        return text if is_leaf_type(target) else f"{text} {self._selections(target, depth + 1)}"  # type: ignore[arg-type]

    def _arguments(self, type_: Any, name: str, one: GraphQLField, depth: int) -> str:
        given = []
        pages = "first" if self.random.random() < 0.7 else "last"
        for argument, definition in one.args.items():
            required, part = is_required_argument(definition), f"{type_.name}.{name}({argument})"
            wanted = 0.95 if argument == pages else _SELDOM.get(argument, 0.2)
            if required or self.random.random() < wanted or self._is_due(part):
                self._visit(part)
                given.append(f"{argument}: {self._value(argument, definition.type, depth)}")
        return f"({', '.join(given)})" if given else ""

    def _value(self, name: str, type_: Any, depth: int) -> str:
        value = self._python_value(name, type_, depth)
        if self.random.random() < 0.3:
            return self._variable(str(type_), value)
        return self._literal(value, type_)

    def _variable(self, type_: str, value: Any) -> str:
        name = f"v{len(self._declared)}"
        self._declared[name] = type_
        self._variables[name] = value
        return f"${name}"

    def _python_value(self, name: str, type_: Any, depth: int, *, may_be_null: bool = True) -> Any:
        if isinstance(type_, GraphQLNonNull):
            return self._python_value(name, type_.of_type, depth, may_be_null=False)
        if may_be_null and self.random.random() < 0.06:
            return None
        if isinstance(type_, GraphQLList):
            return [self._python_value(name, type_.of_type, depth) for _ in range(self.random.choice((0, 1, 1, 2, 3)))]
        if isinstance(type_, GraphQLEnumType):
            value = self.random.choice(list(type_.values))
            self._visit(f"{type_.name}.{value}")
            return value
        if isinstance(type_, GraphQLInputObjectType):
            return self._input(type_, depth)
        return self._scalar(name, type_.name)

    def _input(self, type_: GraphQLInputObjectType, depth: int) -> dict[str, Any]:
        values = {}
        for name, one in type_.fields.items():
            required, part = is_required_input_field(one), f"{type_.name}.{name}"
            if required or self.random.random() < 0.2 or self._is_due(part):
                self._visit(part)
                values[name] = self._python_value(name, one.type, depth)
        return values

    def _scalar(self, name: str, type_: str) -> Any:  # noqa: PLR0911 - a line a scalar
        random = self.random
        match name, type_:
            case (("first" | "last"), _):
                return random.choice((1, 2, 3)) if random.random() < 0.995 else random.choice((0, -1, 101))
            case _, "Int":
                return random.choice((-5, 0, 3, 7, 10, 99))
            case (("after" | "before"), _):
                return random.choice(self.cursors)
            case "domainIds", _:
                return random.choice(self.domain_ids if random.random() < 0.9 else self.ids)
            case _, "ID":
                return random.choice(self.ids)
            case _, "DateTime":
                return random.choice(
                    ("2026-05-01T00:00:00Z", "2025-12-05T01:02:03.456+02:00", "2026-06-01T12:00:00.000Z")
                )
            case _, "Boolean":
                return random.random() < 0.5
        return random.choice(
            ("admin", "example", "vpn", "ä", "100%", "' OR 1=1 --", "" if random.random() < 0.97 else "\0")
        )

    def _literal(self, value: Any, type_: Any) -> str:
        if isinstance(type_, GraphQLNonNull):
            return self._literal(value, type_.of_type)
        if isinstance(type_, GraphQLList) and isinstance(value, list):
            return "[" + ", ".join(self._literal(one, type_.of_type) for one in value) + "]"
        if isinstance(type_, GraphQLInputObjectType) and value is not None:
            inner = (f"{name}: {self._literal(one, type_.fields[name].type)}" for name, one in value.items())
            return "{" + ", ".join(inner) + "}"
        return str(value) if isinstance(type_, GraphQLEnumType) and value is not None else json.dumps(value)


def all_parts(schema: GraphQLSchema) -> set[str]:
    """Whatever can be visited: the fields and arguments of every type that is reached, and the values of enums."""
    parts = set()
    for type_ in schema.type_map.values():
        if type_.name.startswith("__"):
            continue
        if isinstance(type_, (GraphQLObjectType, GraphQLInterfaceType)):
            for name, one in type_.fields.items():
                parts.add(f"{type_.name}.{name}")
                parts |= {f"{type_.name}.{name}({argument})" for argument in one.args}
        elif isinstance(type_, GraphQLInputObjectType):
            parts |= {f"{type_.name}.{name}" for name in type_.fields}
        elif isinstance(type_, GraphQLEnumType) and type_.name != "ApiKeyScope":
            parts |= {f"{type_.name}.{value}" for value in type_.values}
    for name in ("RiskLevelName", "LeakStatus", "ResourceType", "IdentityType"):
        output_only = {"ResourceType", "IdentityType"}
        parts -= {part for part in parts if name in output_only and part.startswith(f"{name}.")}
    return parts
