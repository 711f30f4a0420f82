"""The real components as private instances on free ports, each with `start`, `stop`, `kill` and `restart`."""
