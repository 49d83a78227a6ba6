"""The same as `saddlepoint sample`."""

from saddlepoint.commands.main import main

if __name__ == "__main__":
    main("sample")
