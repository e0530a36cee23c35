"""What several test files share: datasets, tiny trainings, checks of the kernels."""
