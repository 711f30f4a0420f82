"""`python -m teledx`."""

from teledx.cli import main

if __name__ == "__main__":
    main()
