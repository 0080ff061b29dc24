// SPDX-License-Identifier: GPL-2.0-only
/* Finding a port's kind by its name, and what all ports need. */
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "port.h"

static const struct port_kind *const kinds[] = {
	&port_packet, &port_tap, &port_udp, &port_unix, &port_shm, &port_pipe,
#ifdef HAVE_LIBXDP
	&port_xdp,
#endif
#ifdef HAVE_LIBDPDK
	&port_dpdk,
#endif
};

void fail(const char *what)
{
	fprintf(stderr, "%s: %s\n", what, strerror(errno));
	exit(1);
}

uint64_t monotonic_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

void pin_to_core(unsigned int core)
{
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET(core, &one);
	if (sched_setaffinity(0, sizeof(one), &one))
		fail("sched_setaffinity");
}

char *next_word(char **arguments, const char *what)
{
	char *word = strsep(arguments, ":");

	if (!word || !*word) {
		fprintf(stderr, "A port lacks its %s.\n", what);
		exit(1);
	}
	return word;
}

void port_open(struct port *port, const char *spec)
{
	char *arguments = strdup(spec), *name = strsep(&arguments, ":");

	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++)
		if (!strcmp(kinds[i]->name, name)) {
			*port = (struct port){ .kind = kinds[i], .fd = -1 };
			port->kind->open(port, arguments);
			free(name);
			return;
		}
	fprintf(stderr, "There is no kind of port %s.\n", name);
	exit(1);
}
