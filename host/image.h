/* SPDX-License-Identifier: GPL-2.0-only */
/* A liblinux.so file, opened and checked once; loader.h makes kernels of it. */
#ifndef PLH_IMAGE_H
#define PLH_IMAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "pylibos_host.h"

#pragma GCC visibility push(hidden)

#define IMAGE_MAX_SEGMENTS 8

/* A PT_LOAD segment. */
struct image_segment {
	uint64_t address; /* in the image */
	uint64_t bytes; /* in memory */
	uint64_t offset; /* in the file */
	uint64_t file_bytes;
	int protection; /* PROT_* */
};

/* A table of relocations, in the image's addresses. */
struct image_table {
	uint64_t address;
	uint64_t bytes;
};

struct prefault;

struct plh_image {
	uint32_t references; /* the opener and each kernel; atomic */
	int fd;
	char *path;
	struct image_segment segments[IMAGE_MAX_SEGMENTS];
	uint32_t segment_count;
	uint64_t low_address, high_address; /* of all segments, whole pages */
	struct image_table rela, relr;
	uint64_t symbol_address; /* of liblinux_image */
	/* Copies, so that they outlive every mapping. */
	char release[64];
	char profile[64];
	char banner[256];
	uint64_t memory_min_bytes;
	struct prefault *prefault; /* see prefault.h */
};

/* Find segments, relocations and the symbol in the file; false and an error. */
bool image_read_elf(struct plh_image *image);

/* How many bytes of the segment that it lies in follow an address; 0: none. */
uint64_t image_bytes_from(const struct plh_image *image, uint64_t address);

void image_get(struct plh_image *image);
void image_put(struct plh_image *image);

#pragma GCC visibility pop

#endif
