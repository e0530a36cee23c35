#!/usr/bin/env python
"""Show why rare classes fail: `mmimb explain`."""
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

if __name__ == '__main__':
    from mmimb.commands.main import run_as
    run_as('explain')
