"""What people and operators type: one small module for each group of commands, one table of them all."""
