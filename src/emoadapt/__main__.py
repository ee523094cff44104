"""`python -m emoadapt`: the same command line as `emoadapt`."""

from emoadapt.cli import main

main()
