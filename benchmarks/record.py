"""Results files: what each says about where it comes from, and the tables of the docs that follow from them."""
from __future__ import annotations

import csv
import platform
import re
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

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


def write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows with the keys of the first as columns."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open('w', newline='', encoding='utf-8') as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator='\n')
        writer.writeheader()
        writer.writerows(rows)


def replace_table(document: str, head: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Rewrite the table between the ``cost`` marks of a file of docs/."""
    path = HERE.parent / 'docs' / document
    lines = [head, ['---'] * len(head), *rows]
    table = '\n'.join('|' + '|'.join(f' {cell} ' if cell != '---' else cell for cell in line) + '|' for line in lines)
    text = path.read_text(encoding='utf-8')
    marked = f'<!-- cost:begin -->\n{table}\n<!-- cost:end -->'
    path.write_text(re.sub('<!-- cost:begin -->.*<!-- cost:end -->', lambda _: marked, text, flags=re.S), encoding='utf-8')
