"""Models of other frameworks; each framework is imported in one module only, when it is used."""
