"""The domain: what a case is, how it moves and what is decided about it; pure Python, no I/O."""
