"""How much memory one worker holds while ever new documents are tried against its caches.

Pages of the database's file are the system's, and are not counted.

    uv run python tests/benchmarks/memory.py [--documents 1000000] [--leaks 100000]

Four in five requests are documents that nobody sent before, small ones of six shapes; the others are of the five
workloads. It needs `wrk`.
"""

import argparse
import asyncio
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import psutil

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from gateway.commands.demo_database import prepare  # noqa: E402
from gateway.settings import Settings  # noqa: E402
from tests.benchmarks.serving import SECRET, servers  # noqa: E402
from tests.benchmarks.workloads import WORKLOADS  # noqa: E402

SCRIPT = r"""
local known = { KNOWN }
local shapes = {
  '{a@:leak(id:\\"LEAK\\"){id}}',
  '{a@:leak(id:\\"LEAK\\"){id login riskLevel}}',
  'query Q@{leak(id:\\"LEAK\\"){status}}',
  'query Q@($in:Boolean=true){leak(id:\\"LEAK\\"){id url @include(if:$in)}}',
  '{leak(id:\\"LEAK\\"){...F@}}fragment F@ on Leak{id domain{name}}',
  '{a@:leak(id:\\"LEAK\\"){id connections{users{nodes{identity}}}}}',
}
local sent = 0
request = function()
  sent = sent + 1
  if sent % 5 == 0 then return known[sent / 5 % #known + 1] end
  local document = shapes[sent % #shapes + 1]:gsub("([aQF])@", "%1ROUND_" .. sent)
  local headers = { ["X-API-Key"] = "KEY", ["Content-Type"] = "application/json" }
  return wrk.format("POST", "/graphql", headers, '{"query":"' .. document .. '"}')
end
done = function(summary) io.write(string.format("SENT %d %d\n", summary.requests, summary.errors.status)) end
"""


def main() -> None:
    """Send documents until there were enough of them, and print the memory as it goes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--documents", type=int, default=1_000_000)
    parser.add_argument("--leaks", type=int, default=100_000)
    options = parser.parse_args()
    path = Path(tempfile.gettempdir()) / f"leaks-benchmark-{options.leaks}.db"
    settings = replace(Settings(secret=SECRET), database_url=f"sqlite:///{path}")
    made = asyncio.run(prepare(settings, options.leaks, 1))
    with servers(settings.database_url, ["gateway"]) as running, tempfile.TemporaryDirectory() as folder:
        port, process = running["gateway"]
        script = Path(folder) / "documents.lua"
        requests = [one.request(made.leak_id, made.read_key) for one in WORKLOADS]
        named = SCRIPT.replace("KNOWN", ", ".join(requests)).replace("LEAK", made.leak_id).replace("KEY", made.read_key)
        _send(port, psutil.Process(process.pid), script, named, options.documents)


def _send(port: int, worker: psutil.Process, script: Path, text: str, documents: int) -> None:
    sent = 0
    print(f"{'requests':>12}{'documents':>12}{'MB':>8}")
    while sent * 4 // 5 < documents:
        # The script counts from one each time: another name makes other documents.
        script.write_text(text.replace("ROUND", str(time.monotonic_ns())))
        command = ["wrk", "-t1", "-c16", "-d30s", "-s", str(script), f"http://127.0.0.1:{port}"]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        (line,) = (line for line in said.splitlines() if line.startswith("SENT"))
        requests, errors = map(int, line.split()[1:])
        # On a machine that is busy with other things, a few are told to come again.
        if errors * 1000 > requests:
            raise SystemExit(f"{errors} errors of {requests}")
        sent += requests
        memory = worker.memory_info()
        print(f"{sent:12,}{sent * 4 // 5:12,}{(memory.rss - memory.shared) / 1e6:8.0f}", flush=True)


if __name__ == "__main__":
    main()
