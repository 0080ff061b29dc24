/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The other end of a UNIX socket, which may come later, go, and come back.  An end
 * that connects tries again until it is joined; one that listens takes the next
 * peer when the last one is gone.
 */
#ifndef PLH_UNIX_PEER_H
#define PLH_UNIX_PEER_H

#include <sys/types.h>

#include "device.h"

/* The first member of a backend's state. */
struct unix_peer {
	char path[108]; /* as in struct plh_unix_parameters */
	char peer_path[108];
	uint32_t type; /* enum plh_unix_type */
	bool listen;
	int given_fd; /* a connected socket to use instead, or -1 */
	int listen_fd; /* or -1 */
	int fd; /* to the peer, or -1; a datagram socket is there without one, too */
	bool joined;
	struct device_timer retry;
	uint64_t retry_ns; /* until the next attempt */
	dev_t bound_device; /* the socket's file, if it is ours */
	ino_t bound_inode;
	/* Joined; the device has no netdev if that was while it was opened. */
	void (*on_join)(struct plh_device *device);
	/* The descriptor to wait for is another one; the old one will be closed. */
	void (*watch)(struct plh_device *device, int fd);
};

#pragma GCC visibility push(hidden)

/* A peer that is not there yet is no error; 0 or -errno with an error. */
int unix_peer_open(struct plh_device *device);
void unix_peer_close(struct plh_device *device);
/* What to wait for now, or -1. */
int unix_peer_fd(const struct unix_peer *peer);
/* Readable, and not joined: somebody connects, or sends a datagram. */
void unix_peer_readable(struct plh_device *device);
/* The peer is gone or of no use: carrier down, and wait for the next one. */
void unix_peer_leave(struct plh_device *device);

#pragma GCC visibility pop

#endif
