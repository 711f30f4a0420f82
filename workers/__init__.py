"""One module for each stage, the wrapper that runs a stage safely, and the actors that a broker calls."""
