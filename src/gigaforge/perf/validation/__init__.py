"""Compare predictions with measured runs, row by row."""
