# SPDX-License-Identifier: GPL-2.0-only
"""The same socket calls on the host's Linux and on the library's, with equal outcomes."""

from __future__ import annotations

import errno
import select
import socket

import pytest
import socket_cases_calls
import socket_cases_data
from socket_cases import CASES

assert socket_cases_calls, socket_cases_data  # importing them fills CASES


class HostNet:
    """The functions of the socket module, with select() beside them."""

    select = staticmethod(select.select)

    def __getattr__(self, name):
        return getattr(socket, name)


@pytest.mark.parametrize("script", CASES, ids=lambda script: script.__name__)
def test_library_does_as_the_host_does(kernel, script):
    try:
        expected = script(HostNet())
    except PermissionError:
        pytest.skip("The host lets only root do this.")
    except OSError as error:
        if error.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
            raise
        pytest.skip(f"The host cannot do this: {error}")
    assert script(kernel) == expected
