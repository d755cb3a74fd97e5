"""Figures and the self-contained report of a plan, the same for notebook, command line and page."""
