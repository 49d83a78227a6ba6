"""The same as `saddlepoint explore`."""

from saddlepoint.commands.main import main

if __name__ == "__main__":
    main("explore")
