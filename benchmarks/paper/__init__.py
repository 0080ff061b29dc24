# SPDX-License-Identifier: GPL-2.0-only
"""The NUSE paper's section 5, measured again: ``python -m benchmarks.paper``."""
