"""Whole slides: what they are, whether they can be read, and how they leave the region without their labels."""
