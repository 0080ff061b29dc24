/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Writes the blocks of a pcapng file (draft-ietf-opsawg-pcapng) through a buffer.
 * The bytes are a pure function of what is given: nothing about the host.
 */
#ifndef PLH_PCAPNG_H
#define PLH_PCAPNG_H

#include <stdint.h>

#pragma GCC visibility push(hidden)

#define PCAPNG_MAX_FRAME_BYTES (1u << 17)
#define PCAPNG_MAX_COMMENTS    3
#define PCAPNG_BUFFER_BYTES    (2 * PCAPNG_MAX_FRAME_BYTES)

struct pcapng {
	int fd;
	int error; /* errno of the first write that failed; nothing is written any more */
	uint32_t snaplen; /* 0: whole frames */
	uint32_t interfaces; /* the next one's number */
	uint32_t used;
	_Alignas(8) uint8_t buffer[PCAPNG_BUFFER_BYTES];
};

struct pcapng_packet {
	uint64_t time_ns;
	uint32_t interface;
	uint32_t bytes; /* of the frame, all of it */
	int inbound; /* into the kernel whose interface it is */
	const char *comments[PCAPNG_MAX_COMMENTS]; /* short ones; NULL: no more */
};

/* Replace the file and begin a section; 0 or -errno. */
int pcapng_open(struct pcapng *file, const char *path, uint32_t snaplen);
/* Returns the number of the new interface.  description may be NULL. */
uint32_t pcapng_interface(struct pcapng *file, const char *name, const char *description);
/* Room for a frame of so many bytes, at most PCAPNG_MAX_FRAME_BYTES... */
uint8_t *pcapng_room(struct pcapng *file);
/* ... which is written once it has been filled. */
void pcapng_packet(struct pcapng *file, const struct pcapng_packet *packet);
/* What an interface saw, and dropped of that, by the end of the capture. */
void pcapng_statistics(struct pcapng *file, uint32_t interface, uint64_t time_ns, uint64_t frames,
		       uint64_t drops);
void pcapng_flush(struct pcapng *file);

#pragma GCC visibility pop

#endif
