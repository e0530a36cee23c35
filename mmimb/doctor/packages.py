"""Checks of what is installed: each is imported and used, not only found."""
from __future__ import annotations

import base64
import hashlib
import io
import shutil
from contextlib import redirect_stdout, suppress
from importlib.metadata import PackageNotFoundError, files, version
from pathlib import Path

from ..stack import INSTALL_HINT, STACKS, installed_stacks, require_stack
from .check import FAILURE, OK, WARNING, Answer, check

OPENCV = ('opencv-python', 'opencv-python-headless', 'opencv-contrib-python', 'opencv-contrib-python-headless')
FRESH = 'make a fresh virtual environment and install one stack only (bash tools/setup.sh)'
COMPILE = 'compile mmcv 2.1.0: MMCV_WITH_OPS=1 FORCE_CUDA=0 pip install --no-build-isolation mmcv==2.1.0'


@check('torch', 'install PyTorch again: https://pytorch.org/get-started/locally')
def torch() -> Answer:
    import torch
    if float(torch.ones(3).sum()) != 3:
        return Answer(FAILURE, f'{torch.__version__} adds wrongly', 'install PyTorch again')
    text = f'{torch.__version__}, CUDA {torch.version.cuda or "none"}'
    if not torch.cuda.is_available():
        if torch.version.cuda is None and shutil.which('nvidia-smi'):
            return Answer(WARNING, f'{text}, but this machine has an NVIDIA driver',
                          'install PyTorch for CUDA: https://pytorch.org/get-started/locally')
        if torch.version.cuda is not None:
            return Answer(WARNING, f'{text}, but no GPU can be used', 'check nvidia-smi, the driver, and CUDA_VISIBLE_DEVICES')
        return Answer(OK, f'{text}, no GPU')
    names = []
    for index in range(torch.cuda.device_count()):
        product = torch.ones(8, 8, device=f'cuda:{index}') @ torch.ones(8, 8, device=f'cuda:{index}')
        if float(product.sum()) != 512:
            return Answer(FAILURE, f'{text}: GPU {index} computes wrongly', 'install a PyTorch that supports this GPU')
        names.append(torch.cuda.get_device_name(index))
    return Answer(OK, f'{text}, GPU: {", ".join(names)}')


@check('numpy', "install numpy again: pip install --force-reinstall 'numpy<3'")
def numpy() -> Answer:
    import numpy
    import torch
    values = numpy.arange(5, dtype=numpy.float64)
    try:
        back = torch.from_numpy(values).numpy()
    except RuntimeError as error:  # "Numpy is not available"
        old = tuple(map(int, torch.__version__.split('+')[0].split('.')[:2])) < (2, 3)
        fix = "pip install 'numpy<2' (this torch was built for it)" if old else 'install torch and numpy again'
        return Answer(FAILURE, f'{numpy.__version__}, but torch cannot use it: {error}', fix)
    return Answer(OK if (back == values).all() else FAILURE, f'{numpy.__version__}, shared with torch')


@check('opencv', 'apt-get install libgl1 libglib2.0-0, or pip uninstall opencv-python && pip install opencv-python-headless')
def opencv() -> Answer:
    found = {}
    for name in OPENCV:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    import cv2
    import numpy
    image = numpy.arange(0, 60000, 1000, dtype=numpy.uint16).reshape(6, 10)
    good, data = cv2.imencode('.png', image)
    back = cv2.imdecode(data, cv2.IMREAD_UNCHANGED) if good else None
    if back is None or (back != image).any():
        return Answer(FAILURE, f'{cv2.__version__} cannot read the PNG that it wrote', 'install opencv-python again')
    if len(found) > 1:
        return Answer(WARNING, f'{cv2.__version__}; {" and ".join(found)} overwrite each other',
                      f'pip uninstall {" ".join(found)}, then install one of them')
    return Answer(OK, f'{cv2.__version__} ({", ".join(found) or "not from a package index"})')


@check('pillow', 'pip install --force-reinstall pillow')
def pillow() -> Answer:
    import numpy
    import PIL
    from PIL import Image
    labels = numpy.array([[0, 7], [3, 255]], numpy.uint8)
    image, file = Image.fromarray(labels, mode='P'), io.BytesIO()
    image.putpalette(list(range(256)) * 3)
    image.save(file, 'png')
    good = bool((numpy.array(Image.open(file)) == labels).all())
    return Answer(OK if good else FAILURE, f'{PIL.__version__}, palette images are read as indices' if good else
                  f'{PIL.__version__} reads palette images wrongly', '' if good else 'pip install --force-reinstall pillow')


@check('stack', INSTALL_HINT)
def stack() -> Answer:
    found = installed_stacks()
    shown = ', '.join(f'{name} {number}' for packages in found.values() for name, number in packages.items())
    if len(found) > 1:
        return Answer(FAILURE, f'two stacks overwrite each other: {shown}', FRESH)
    if not found:
        return Answer(FAILURE, 'no MMSegmentation is installed', INSTALL_HINT)
    (name, packages), = found.items()
    missing = [part for part in STACKS[name] if part not in packages]
    if missing:
        return Answer(FAILURE, f'{name} is incomplete: {shown}; missing {", ".join(missing)}', INSTALL_HINT)
    for part in packages:
        if changed := changed_files(part):
            text = f'{len(changed)} files of {part} are not those that it installed, such as {changed[0]}'
            return Answer(FAILURE, text, FRESH)
    require_stack()
    return Answer(OK, f'{name}: {shown}')


def changed_files(distribution: str) -> list[str]:
    """Return the Python files of an installed package that are missing or that another one has overwritten."""
    changed = []
    for file in files(distribution) or ():
        if file.suffix != '.py' or file.hash is None:
            continue
        try:
            digest = hashlib.new(file.hash.mode, Path(str(file.locate())).read_bytes()).digest()
        except OSError:
            digest = b''
        if base64.urlsafe_b64encode(digest).rstrip(b'=').decode() != file.hash.value:
            changed.append(str(file))
    return changed


@check('mmcv operators', COMPILE)
def mmcv_operators() -> Answer:
    with suppress(PackageNotFoundError):
        return Answer(FAILURE, f'mmcv-lite {version("mmcv-lite")} has no operators and hides mmcv',
                      'pip uninstall mmcv-lite mmcv, then install mmcv 2.1.0 (README, Install)')
    import torch
    onedl = 'onedl' in installed_stacks()
    try:
        with redirect_stdout(io.StringIO()):
            from mmcv.ops import nms
            boxes = torch.tensor([[0., 0, 4, 4], [0, 0, 4, 4.1], [9, 9, 12, 12]])
            kept = nms(boxes, torch.tensor([.9, .8, .7]), 0.5)[1].tolist()
    except (ImportError, AttributeError, RuntimeError) as error:
        text = f'compiled operators are missing ({" ".join(str(error).split())[:120]})'
        if onedl:
            return Answer(OK, f'{text}: heads that need them (PointRend, CCNet, ...) cannot be used, all others can')
        return Answer(FAILURE, text, COMPILE)
    return Answer(OK if kept == [0, 2] else FAILURE, f'compiled, nms gives {kept}')
