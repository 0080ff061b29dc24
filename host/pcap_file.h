/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Reads the packets of a pcap or pcapng file, of either byte order, one after the
 * other.  Times are ns, whatever the file counts in.
 */
#ifndef PLH_PCAP_FILE_H
#define PLH_PCAP_FILE_H

#include <stdbool.h>
#include <stdint.h>

#pragma GCC visibility push(hidden)

#define PCAP_BUFFER_BYTES   (1u << 19)
#define PCAP_MAX_INTERFACES 256 /* of a section of a pcapng file */

struct pcap_interface {
	bool ethernet;
	bool binary; /* units of 2^-resolution s, else of 10^-resolution s */
	uint8_t resolution;
	int64_t offset_s;
};

struct pcap_file {
	int fd;
	bool next_generation; /* pcapng */
	bool swapped; /* the other byte order */
	uint32_t interfaces;
	struct pcap_interface interface[PCAP_MAX_INTERFACES];
	uint64_t read; /* bytes of the file that were read */
	uint32_t start, end; /* of the buffer: not looked at yet */
	char error[128]; /* what is wrong with the file, without a full stop */
	uint8_t buffer[PCAP_BUFFER_BYTES];
};

struct pcap_packet {
	uint64_t time_ns;
	const uint8_t *bytes; /* until the next call */
	uint32_t kept; /* of them */
	uint32_t length; /* of the packet on the wire */
	bool ethernet;
};

/* 0 or -errno; with -EINVAL file->error says more. */
int pcap_file_open(struct pcap_file *file, const char *path);
/* 1: a packet, 0: the end, -EINVAL or another -errno: file->error says more. */
int pcap_file_next(struct pcap_file *file, struct pcap_packet *packet);
/* Back to its begin; as pcap_file_open(). */
int pcap_file_rewind(struct pcap_file *file);
void pcap_file_close(struct pcap_file *file);

#pragma GCC visibility pop

#endif
