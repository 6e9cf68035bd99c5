"""Measures the statements of a program, level by level."""

from time import perf_counter_ns
from typing import TypeVar

from gateway.storage.engine import Program, Rows
from schema.store import Level, Step

T = TypeVar("T")


def measured(program: Program[T], levels: list[Level]) -> Program[T]:
    """The same program, with the statements of each level run and timed one by one; adds what they cost to `levels`."""
    try:
        commands = next(program)
        while True:
            if not commands:
                commands = program.send((yield ()))
                continue
            level: list[Step] = []
            answers: list[Rows] = []
            for command in commands:
                began = perf_counter_ns()
                (rows,) = yield [command._replace(sharing=None)]
                level.append(Step(command.sql, len(rows), (perf_counter_ns() - began) // 1000))
                answers.append(rows)
            levels.append(level)
            commands = program.send(answers)
    except StopIteration as stop:
        outcome: T = stop.value
        return outcome
