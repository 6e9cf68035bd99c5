"""The command line: `python -m gateway`."""

import sys

if __name__ == "__main__":
    try:
        from gateway.commands import main

        main()
    except KeyboardInterrupt:
        # Before a command has begun, or as it ends.
        sys.stderr.write("interrupted\n")
        sys.exit(130)
