"""`python -m wengert` is the command `wengert`."""

import sys

from .cli import main

sys.exit(main())
