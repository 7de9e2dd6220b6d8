"""`python -m studies`."""

import os
import sys

from studies.cli import main
from studies.interrupts import INTERRUPTED, TERMINATED
from studies.process_groups import end_groups

if __name__ == "__main__":
    try:
        main()
    except SystemExit as end:
        if end.code in (INTERRUPTED, TERMINATED):
            sys.stdout.flush()
            sys.stderr.flush()
            end_groups()
            os._exit(int(end.code))  # a Ray that was left without a word would be waited for, though it may be gone
        raise
