"""The same as `saddlepoint train`."""

from saddlepoint.commands.main import main

if __name__ == "__main__":
    main("train")
