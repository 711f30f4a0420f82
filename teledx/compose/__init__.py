"""What the distributed deployment is made with: its image's pins, its secrets, its parts' configuration."""
