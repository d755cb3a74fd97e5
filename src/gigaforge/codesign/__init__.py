"""Search over the performance model: operating points, hardware, model shapes."""
