"""Kills the processes whose ids it reads, once whoever writes them has gone: run as a script of its own.

vLLM's engine is a process that outlives a killed parent, and keeps the GPU's memory: the next command would not find
room. Standard input ends when the writer does, however it ends.
"""

import os
import signal
import sys
from contextlib import suppress

if __name__ == "__main__":
    for pid in [int(line) for line in sys.stdin]:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
