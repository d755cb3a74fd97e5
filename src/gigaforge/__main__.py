"""Run as ``python -m gigaforge``."""

from gigaforge.cli import main

main()
