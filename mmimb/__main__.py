"""``python -m mmimb COMMAND``: the program ``mmimb`` where it is not on the path, and for torchrun's ``-m``."""
from .commands.main import run

if __name__ == '__main__':
    run()
