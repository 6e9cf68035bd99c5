"""The command line: `python -m gateway`."""

from gateway.commands import main

if __name__ == "__main__":
    main()
