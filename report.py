"""The same as `saddlepoint report`."""

from saddlepoint.commands.main import main

if __name__ == "__main__":
    main("report")
