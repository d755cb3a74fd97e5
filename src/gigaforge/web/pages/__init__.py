"""What a browser shows: pages made on the server from the same sections and figures as the report."""
