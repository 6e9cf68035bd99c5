"""The command line, whose workers have a second to end.

`python -m tests.faults.hasty` takes what `python -m gateway` does.
"""

from gateway.commands import main, serving

serving.GRACE_SECONDS, serving._ENDING_SECONDS = 1, 0  # noqa: SLF001 - no user sets them

if __name__ == "__main__":
    main()
