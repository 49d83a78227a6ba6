"""``python -m saddlepoint.commands train …``, the same as ``saddlepoint train …``."""

from saddlepoint.commands.main import main

main()
