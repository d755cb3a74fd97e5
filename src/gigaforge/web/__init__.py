"""The page and the HTTP API of the ledger: thin faces over the same functions as the command line."""
