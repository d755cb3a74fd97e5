"""Fit the physical parameters to measurements, and say how sure they are."""
