"""The model's arithmetic on plain numbers: no types of the package, nothing but numba, numpy and math."""
