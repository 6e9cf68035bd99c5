"""The command line, whose workers have a second to end, and a quarter of a minute to respond.

`python -m tests.faults.hasty` takes what `python -m gateway` does.
"""

from gateway.commands import main, serving, workers

# No user sets them.
serving.GRACE_SECONDS, workers._ENDING_SECONDS = 1, 0  # noqa: SLF001
serving._SILENT_SECONDS = 15  # noqa: SLF001

if __name__ == "__main__":
    main()
