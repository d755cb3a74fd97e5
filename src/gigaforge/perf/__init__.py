"""How fast and at what power a model trains or serves on a system: pure functions on arrays."""
