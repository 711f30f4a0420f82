"""What `teledx doctor` looks at: one module for each thing that can be wrong, one table of them all."""
