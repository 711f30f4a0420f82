"""Samples that the product makes: what the demo drops and what the tests stand on."""
