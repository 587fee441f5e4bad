"""Many customers of a shop at the same time: `python -m tests.faults.crowd PORT TARGET CREDENTIAL TIMES`.

Prints each answer as a line of JSON: status, headers, body.
"""

import json
import sys
from concurrent.futures import ThreadPoolExecutor

from .customer import BROKEN, ask

port, target, credential, times = sys.argv[1:]
try:
    with ThreadPoolExecutor(int(times)) as pool:
        answers = list(pool.map(lambda _: ask(int(port), target, credential or None), range(int(times))))
except BROKEN as error:
    sys.exit(f"no answer: {error}")
for answer in answers:
    json.dump([answer.status, answer.headers, answer.body.decode()], sys.stdout)
    sys.stdout.write("\n")
