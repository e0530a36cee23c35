from .base import ClassWeight, FixedWeight, build_class_weight

__all__ = ['ClassWeight', 'FixedWeight', 'build_class_weight']
