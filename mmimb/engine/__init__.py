"""Running things: what tools/train.py and tools/test.py do besides parsing arguments; import the modules directly."""
