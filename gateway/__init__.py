"""The doors for people and machines over HTTP; it writes rows and never meets the broker."""
