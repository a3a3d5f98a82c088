"""A script that reads process ids from standard input and kills those processes when the writer ends.

vLLM's engine process outlives a killed parent and keeps the GPU's memory, so that the next command would not fit.
Standard input ends when the writer does, however it ends.
"""

import os
import signal
import sys
from contextlib import suppress

if __name__ == "__main__":
    for pid in [int(line) for line in sys.stdin]:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
