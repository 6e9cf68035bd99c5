"""The five questions that the servers are asked, and how a load generator asks them."""

import json
from dataclasses import dataclass
from pathlib import Path

CONNECTIONS = """
connections {
  resources { nodes { id resource type } }
  users { nodes { id identity identityType } }
  endpoints { nodes { id filename date } }
}
"""
LEAK = "id riskLevel riskLevelName status url login password firstSeen addedAt"


@dataclass(frozen=True)
class Workload:
    """A question: a path that is got, or a document that is posted; `{id}` in it is another leak each time."""

    name: str
    path: str = "/graphql"
    document: str | None = None

    def body(self, leak_id: str) -> bytes:
        """The body of one request; the extension tells a server that parses nothing what is asked."""
        variables = {"id": leak_id} if self.document and "$id" in self.document else {}
        sent = {"query": self.document, "variables": variables, "extensions": {"name": self.name}}
        return json.dumps(sent).encode()

    def script(self, ids: list[str], key: str, folder: Path) -> Path:
        """A script for wrk that asks with one id after the other."""
        path = folder / f"{self.name}.lua"
        requests = [self.request(leak_id, key) for leak_id in (ids if self._varies else ids[:1])]
        path.write_text(
            "local requests = {}\nlocal at = 0\n"
            + "".join(f"requests[#requests + 1] = {request}\n" for request in requests)
            + "request = function() at = at % #requests + 1 return requests[at] end\n"
            + "done = function(summary, latency) io.write(string.format("
            + "'RESULT %d %d %d %f %f\\n', summary.requests, summary.duration,"
            + " summary.errors.status + summary.errors.read + summary.errors.timeout,"
            + " latency:percentile(50), latency:percentile(99))) end\n"
        )
        return path

    @property
    def _varies(self) -> bool:
        return "{id}" in self.path or "$id" in (self.document or "")

    def request(self, leak_id: str, key: str) -> str:
        """One request, in wrk's language."""
        headers = f'["Host"] = "gateway", ["X-API-Key"] = "{key}", ["Accept"] = "application/json"'
        if self.document is None:
            return f'wrk.format("GET", "{self.path.format(id=leak_id)}", {{ {headers} }})'
        body = json.dumps(self.body(leak_id).decode())
        return f'wrk.format("POST", "{self.path}", {{ {headers}, ["Content-Type"] = "application/json" }}, {body})'


WORKLOADS = (
    Workload("rest-by-id", "/leaks/{id}"),
    Workload("by-id", document=f"query ($id: ID!) {{ leak(id: $id) {{ {LEAK} {CONNECTIONS} }} }}"),
    Workload("page-of-50", document=f"{{ leaks(first: 50) {{ nodes {{ {LEAK} {CONNECTIONS} }} }} }}"),
    Workload(
        "pivot",
        document="""query ($id: ID!) { leak(id: $id) { id connections { endpoints { nodes { id filename
        leaks(first: 20) { nodes { id login url connections { users { nodes { id identity } } } } } } } } } }""",
    ),
    Workload("flat-page-of-100", document=f"{{ leaks(first: 100) {{ nodes {{ {LEAK} }} }} }}"),
)
