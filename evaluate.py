"""The same as `saddlepoint evaluate`."""

from saddlepoint.commands.main import main

if __name__ == "__main__":
    main("evaluate")
