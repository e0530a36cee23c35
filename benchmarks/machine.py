"""What every results file says about where it comes from."""
from __future__ import annotations

import platform
import re
import subprocess
from pathlib import Path

HERE = Path(__file__).resolve().parent


def machine(device: str = 'cpu') -> dict[str, str]:
    """Return the name of the device, the version of torch and the commit of this checkout."""
    import torch
    commit = subprocess.run(['git', 'rev-parse', '--short', 'HEAD'], cwd=HERE, capture_output=True, text=True, check=False)
    if device.startswith('cuda'):
        name = torch.cuda.get_device_name(device)
    else:
        cpuinfo = Path('/proc/cpuinfo')
        found = re.search(r'model name\s*: (.*)', cpuinfo.read_text()) if cpuinfo.exists() else None
        name = found.group(1) if found else platform.processor()
    return {'device': name, 'torch': torch.__version__, 'commit': commit.stdout.strip()}
