"""The build-out programme: what to install where and when, with whose money."""
