"""The content hash: 64 bits that are the same for two records that say the same.

The upper half stands for the leak, the lower half for its connections, so that a record without connections can be
compared with a stored leak that has some. Triage status is not part of it.
"""

from hashlib import blake2b

import orjson

from gateway.importing.records import ImportedConnections, ImportedLeak

HALF_BYTES = 4


def leak_half(record: ImportedLeak, domain_id: str) -> bytes:
    """The half that stands for the leak itself and the domain it belongs to."""
    return _digest(
        [
            domain_id,
            record.risk_level,
            record.risk_level_name,
            record.url,
            record.login,
            record.first_seen,
            record.added_at,
            record.fingerprint,
        ]
    )


def connections_half(connections: ImportedConnections) -> bytes:
    """The half that stands for connections, whatever their order or repetition."""
    return _digest(
        [
            sorted(set(connections.resources)),
            sorted(set(connections.users)),
            sorted({(filename, date or "") for filename, date in connections.endpoints}),
        ]
    )


def content_hash(leak: bytes, connections: bytes) -> int:
    """Both halves as one signed number of 64 bits."""
    return int.from_bytes(leak + connections, "big", signed=True)


def halves(hash_: int) -> tuple[bytes, bytes]:
    """The two halves of a stored content hash: the leak's, and its connections'."""
    content = hash_.to_bytes(2 * HALF_BYTES, "big", signed=True)
    return content[:HALF_BYTES], content[HALF_BYTES:]


def _digest(content: list[object]) -> bytes:
    return blake2b(orjson.dumps(content), digest_size=HALF_BYTES).digest()


NO_CONNECTIONS = connections_half(ImportedConnections())
