/* SPDX-License-Identifier: GPL-2.0-only */
/* The loopback interface of a kernel that has just booted. */
#ifndef LOOPBACK_H
#define LOOPBACK_H

#include <net/if.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "bench.h"

static inline void loopback_up(const struct subject *subject)
{
	struct ifreq up = { .ifr_name = "lo", .ifr_flags = IFF_UP };
	uint64_t fd = (uint64_t)call(subject, SYS_socket, AF_INET, SOCK_DGRAM, 0, 0, 0, 0);

	call(subject, SYS_ioctl, fd, SIOCSIFFLAGS, (uint64_t)&up, 0, 0, 0);
	call(subject, SYS_close, fd, 0, 0, 0, 0, 0);
}

static inline struct sockaddr_in loopback_address(uint16_t port)
{
	return (struct sockaddr_in){
		.sin_family = AF_INET,
		.sin_port = htons(port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
}

#endif
