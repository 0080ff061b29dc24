/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A channel that frames cross, as the tester and the relay see it: no kernel of
 * ours is in here, so that what a channel can do is known without one.
 *
 * A port is named KIND:ARGUMENTS, see the files port_KIND.c.
 */
#ifndef PAPER_PORT_H
#define PAPER_PORT_H

#include <stddef.h>
#include <stdint.h>

#define PORT_BATCH	 64
#define PORT_FRAME_BYTES 2048 /* the largest frame is 1514 */

struct frame {
	uint8_t *data;
	uint32_t bytes;
};

struct port {
	const struct port_kind *kind;
	int fd; /* to wait for frames; -1: it can only be polled */
	void *state;
};

struct port_kind {
	const char *name;
	/* Ends the program with a message if it cannot. */
	void (*open)(struct port *port, char *arguments);
	/* Frames that are there, at most max; they stay valid until release(). */
	int (*receive)(struct port *port, struct frame *frames, int max);
	void (*release)(struct port *port);
	/*
	 * How many of the frames the channel took.  It does not wait: the rest is
	 * for the caller to lose or to offer again.
	 */
	int (*send)(struct port *port, const struct frame *frames, int count);
	/* Frames lost between the channel and receive(), ever; NULL: none can be. */
	uint64_t (*lost)(struct port *port);
};

extern const struct port_kind port_packet, port_tap, port_udp, port_unix, port_shm, port_pipe;
/* Built only where their libraries are. */
extern const struct port_kind port_xdp, port_dpdk;

void port_open(struct port *port, const char *spec);

static inline uint64_t port_lost(struct port *port)
{
	return port->kind->lost ? port->kind->lost(port) : 0;
}

_Noreturn void fail(const char *what);
/* The next word of "word:word"; ends the program if there is none. */
char *next_word(char **arguments, const char *what);
uint64_t monotonic_ns(void);
void pin_to_core(unsigned int core);

#endif
