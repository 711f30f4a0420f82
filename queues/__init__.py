"""Moving work: the broker, the relay that wakes workers, and the timers."""
