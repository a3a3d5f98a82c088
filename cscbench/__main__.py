"""`python -m cscbench` is the `cscbench` command."""

from cscbench.cli import main

main()
