"""The upload page as the browser gets it: markup, style and scripts, all served from here."""
