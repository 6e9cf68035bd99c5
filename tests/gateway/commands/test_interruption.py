"""Ctrl-C, while a command waits."""

import subprocess
import sys

import pytest

_PROGRAM = """
import asyncio, os, signal
from gateway.commands import interruption

interruption._SECONDS_TO_END = {most}

async def taking_back():
    os.kill(os.getpid(), signal.SIGINT)
    try:
        await asyncio.sleep(60)
    finally:
        await asyncio.sleep({seconds})
        print("taken back", flush=True)

try:
    interruption.wait_for(taking_back())
except interruption.Interrupted:
    raise SystemExit(interruption.CODE) from None
"""


@pytest.mark.parametrize(
    ("seconds", "most", "said", "told"), [(0, 60, "taken back\n", ""), (60, 0.2, "", "interrupted\n")]
)
def test_what_is_half_done_is_taken_back_but_not_waited_for_without_end(
    seconds: float, most: float, said: str, told: str
) -> None:
    program = _PROGRAM.format(seconds=seconds, most=most)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, said, told)
