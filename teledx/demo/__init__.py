"""The demonstration: a day of the network in a minute, on real files, with everything embedded."""
