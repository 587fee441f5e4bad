"""The child: give up every right but the job's, convert one file, say how it went.

Started by `sandbox` with the job's folder as its working directory, no environment, and a pipe as standard output, as
`python -I worker.py <engine> <source> <target> <seconds> <memory bytes> <file bytes> programs|no-programs`.
"""

import errno
import os
import sys
import traceback
from pathlib import Path


def main() -> None:
    """Write one line to standard output: `done` and the codes of notes, or the code of a failure (`explanations`)."""
    sys.path.insert(0, str(Path(__file__).parents[1]))  # -I leaves it out
    from file_conversion import confinement  # noqa: PLC0415
    from file_conversion.engines import Unconvertible, load  # noqa: PLC0415
    from file_conversion.engines.mending import mend  # noqa: PLC0415

    engine, source, target, seconds, memory, file_size, programs = sys.argv[1:]
    folder = Path.cwd()
    verdict = os.dup(1)
    os.dup2(2, 1)  # an engine that prints must not be taken for a verdict
    os.environ.update(HOME=str(folder), TMPDIR=str(folder))
    confinement.limit(int(seconds), int(memory), int(file_size))
    confinement.confine(folder, runs_programs=programs == "programs")
    try:
        given = folder / f"given.{source}"
        mend(given, source)
        notes = load(engine)(given, source, folder / f"made.{target}", target)
    except Unconvertible as reason:
        traceback.print_exc()
        word = reason.code
    except MemoryError:
        word = "too-much-memory"
    except Exception as failure:
        traceback.print_exc()
        word = "result-too-large" if getattr(failure, "errno", None) == errno.EFBIG else "unreadable"
    else:
        word = " ".join(["done", *dict.fromkeys(notes or ())])
    os.write(verdict, word.encode())


if __name__ == "__main__":
    main()
