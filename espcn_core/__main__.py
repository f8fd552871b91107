"""``python -m espcn_core`` is the command line."""

from espcn_core.cli import main

main()
