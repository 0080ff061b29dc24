/* SPDX-License-Identifier: GPL-2.0-only */
/* Frames as packets of a socket, many in one system call, without a copy of ours. */
#ifndef PLH_UNIX_PACKET_H
#define PLH_UNIX_PACKET_H

#include <sys/socket.h>

#include "device.h"
#include "vnet_header.h"

#define PACKET_BATCH   64
#define PACKET_MAX_IOV 1024

struct packet_batch {
	bool vnet_header;
	bool zero_is_end; /* SOCK_SEQPACKET: how a peer's end looks */
	vnet_header headers[PACKET_BATCH];
	struct ring_span spans[PACKET_BATCH];
	struct mmsghdr messages[PACKET_BATCH];
	struct iovec iov[PACKET_MAX_IOV];
};

enum packet_result {
	PACKET_OK, /* all was done that can be done now */
	PACKET_FULL, /* the socket takes no more */
	PACKET_ENDED, /* the peer is gone; errno says how */
};

#pragma GCC visibility push(hidden)

enum packet_result packet_transmit(struct plh_device *device, struct packet_batch *batch, int fd);
enum packet_result packet_receive(struct plh_device *device, struct packet_batch *batch, int fd);

#pragma GCC visibility pop

#endif
