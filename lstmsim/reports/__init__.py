"""Readers of synthesis, implementation and run-time reports."""
