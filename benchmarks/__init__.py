# SPDX-License-Identifier: GPL-2.0-only
"""Figures of the project, each against the host's own kernel where that can do it."""
