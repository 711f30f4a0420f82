"""The shell: settings, the one place that wires parts together, the command line and the supervisor."""
