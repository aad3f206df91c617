"""Many senders in one process: each connects, has one message answered, and stays until standard input ends.

`python -m tests.many_peers PORT COUNT NAME` prints how many were answered positively once all were.
"""

from __future__ import annotations

import asyncio
import resource
import sys

from adapters.hl7v2.mllp import frame
from tests.wire_rig import message


async def _peer(port: int, name: str, at_once: asyncio.Semaphore) -> tuple[bool, asyncio.StreamWriter]:
    async with at_once:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(frame(message(name)))
        answer = await reader.readuntil(b"\x1c\r")
    return b"MSA|AA|" in answer, writer


async def _main(port: int, count: int, name: str) -> None:
    at_once = asyncio.Semaphore(200)
    peers = await asyncio.gather(*(_peer(port, f"{name}-{n}", at_once) for n in range(count)))
    print(sum(answered for answered, _ in peers), flush=True)
    await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    asyncio.run(_main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]))
