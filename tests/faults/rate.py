"""Requests at a fixed rate: `python -m tests.faults.rate PORT TARGET CREDENTIAL PER_SECOND SECONDS`.

Each is sent when it is due, whatever became of those before, and its time counts from then. Prints a JSON list of
[due, took, status]; the status is 0 where no answer came.
"""

import asyncio
import json
import sys
import time

PATIENCE = 60


async def _ask(port: int, request: bytes, due: float) -> tuple[float, float, int]:
    status = 0
    try:
        async with asyncio.timeout(PATIENCE):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                writer.write(request)
                status = int((await reader.readline()).split()[1])
                await reader.read()
            finally:
                writer.close()
    except (OSError, TimeoutError, IndexError):
        pass
    return due, time.monotonic() - due, status


async def main(port: int, target: str, credential: str, per_second: int, seconds: int) -> None:
    """Send them all, and print what became of them."""
    header = f"Authorization: {credential}\r\n" if credential else ""
    request = f"GET {target} HTTP/1.1\r\nHost: shop\r\n{header}Connection: close\r\n\r\n".encode()
    started = time.monotonic()
    running = []
    for number in range(per_second * seconds):
        due = started + number / per_second
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        running.append(asyncio.create_task(_ask(port, request, due)))
    results = [await each for each in running]
    json.dump([[round(due - started, 3), round(took, 5), status] for due, took, status in results], sys.stdout)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5])))
