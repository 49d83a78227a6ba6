"""``python -m saddlepoint.commands train …``, equivalent to ``saddlepoint train …``."""

from saddlepoint.commands.main import main

main()
