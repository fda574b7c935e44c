"""The command `shadowgraph`, also as `python -m shadowgraph.main`."""

import sys

from shadowgraph.cli.app import run


def main() -> None:
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
