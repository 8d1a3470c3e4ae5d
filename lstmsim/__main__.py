"""`python -m lstmsim` is the command line."""

from lstmsim.cli.main import main

main()
