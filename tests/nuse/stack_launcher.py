# SPDX-License-Identifier: GPL-2.0-only
"""Become a program on a stack: ``python stack_launcher.py LIBRARY SOCKET PROGRAM [ARGS...]``."""

import ctypes
import os
import socket
import sys

if __name__ == "__main__":
    library, path, *words = sys.argv[1:]
    server = socket.socket(socket.AF_UNIX)
    server.connect(path)
    args = (ctypes.c_char_p * (len(words) + 1))(*[os.fsencode(word) for word in words], None)
    pairs = [os.fsencode(f"{name}={value}") for name, value in os.environ.items()]
    environment = (ctypes.c_char_p * (len(pairs) + 1))(*pairs, None)
    host = ctypes.CDLL(library)
    error = host.plh_nuse_exec(server.fileno(), args[0], args, environment)
    host.plh_error.restype = ctypes.c_char_p
    sys.exit(f"{words[0]} does not run ({error}): {host.plh_error().decode()}")
