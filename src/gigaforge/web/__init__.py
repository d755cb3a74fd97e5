"""The page and the HTTP interface: thin faces over the rooms below."""
