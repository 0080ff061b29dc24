# SPDX-License-Identifier: GPL-2.0-only
"""``python -m pylibos``."""

from __future__ import annotations

import sys

from pylibos._cli import main

if __name__ == "__main__":
    sys.exit(main())
