// SPDX-License-Identifier: GPL-2.0-only
/*
 * Our own loader.  dlopen() gives one copy per file, dlmopen() stops at 15, and
 * neither can place an image; an image needs neither symbols nor libraries, so
 * mapping segments and adding the load address to some words is all there is.
 */
#include <elf.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "error.h"
#include "isa.h"
#include "loader.h"

static bool map_failed(const struct plh_image *image)
{
	plh_set_error("%s cannot be mapped (%s).", image->path, plh_errno_text(-errno));
	return false;
}

static bool map_segment(const struct plh_image *image, const struct image_segment *segment,
			struct loaded *loaded)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	uint64_t start = loaded->bias + segment->address;
	uint64_t low = start & ~(page - 1);
	uint64_t file_end = start + segment->file_bytes;
	uint64_t file_pages_end = (file_end + page - 1) & ~(page - 1);
	uint64_t end = (start + segment->bytes + page - 1) & ~(page - 1);

	if (segment->file_bytes &&
	    mmap((void *)low, file_end - low, segment->protection, MAP_PRIVATE | MAP_FIXED,
		 image->fd, (off_t)(segment->offset - (start - low))) == MAP_FAILED)
		return map_failed(image);
	if (!segment->file_bytes)
		file_pages_end = low;
	if (end > file_pages_end &&
	    mmap((void *)file_pages_end, end - file_pages_end, segment->protection,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0) == MAP_FAILED)
		return map_failed(image);
	/* The file's last page goes on with whatever lies behind the segment. */
	if (segment->protection & PROT_WRITE) {
		if (segment->file_bytes && segment->bytes > segment->file_bytes)
			memset((void *)file_end, 0, file_pages_end - file_end);
		loaded->private_bytes += end - low;
	}
	return true;
}

static bool writable(const struct plh_image *image, uint64_t address)
{
	for (uint32_t i = 0; i < image->segment_count; i++) {
		const struct image_segment *segment = &image->segments[i];

		if (segment->protection & PROT_WRITE && address >= segment->address &&
		    address - segment->address + 8 <= segment->bytes)
			return true;
	}
	plh_set_error("%s has a relocation outside its writable segment, so its text could not be "
		      "shared: build it with 'make liblinux.so'.",
		      image->path);
	return false;
}

static bool relocate_rela(const struct plh_image *image, uint64_t bias)
{
	const Elf64_Rela *rela = (const Elf64_Rela *)(bias + image->rela.address);
	uint64_t count = image->rela.bytes / sizeof(*rela);

	for (uint64_t i = 0; i < count; i++) {
		/* A linker leaves empty entries where it needed fewer than it thought. */
		if (ELF64_R_TYPE(rela[i].r_info) == 0)
			continue;
		if (ELF64_R_TYPE(rela[i].r_info) != ISA_RELOC_RELATIVE) {
			plh_set_error("%s has a relocation of type %u, and only relative ones "
				      "can be applied: something in it is not hidden; build it "
				      "with 'make liblinux.so'.",
				      image->path, (unsigned int)ELF64_R_TYPE(rela[i].r_info));
			return false;
		}
		if (!writable(image, rela[i].r_offset))
			return false;
		*(uint64_t *)(bias + rela[i].r_offset) = bias + (uint64_t)rela[i].r_addend;
	}
	return true;
}

/* Packed: an even word is an address, an odd one says which of the next 63 follow. */
static bool relocate_relr(const struct plh_image *image, uint64_t bias)
{
	const uint64_t *table = (const uint64_t *)(bias + image->relr.address);
	uint64_t count = image->relr.bytes / sizeof(*table);
	uint64_t next = 0;

	for (uint64_t i = 0; i < count; i++) {
		uint64_t word = table[i];

		if (!(word & 1)) {
			if (!writable(image, word))
				return false;
			*(uint64_t *)(bias + word) += bias;
			next = word + 8;
			continue;
		}
		for (uint64_t at = next; word >>= 1; at += 8) {
			if (!(word & 1))
				continue;
			if (!writable(image, at))
				return false;
			*(uint64_t *)(bias + at) += bias;
		}
		next += 63 * 8;
	}
	return true;
}

bool loader_map(const struct plh_image *image, void *base, struct loaded *loaded)
{
	*loaded = (struct loaded){
		.base = (uint64_t)base,
		.bytes = image->high_address - image->low_address,
		.bias = (uint64_t)base - image->low_address,
	};
	for (uint32_t i = 0; i < image->segment_count; i++)
		if (!map_segment(image, &image->segments[i], loaded))
			return false;
	return true;
}

bool loader_relocate(const struct plh_image *image, struct loaded *loaded)
{
	if (!relocate_rela(image, loaded->bias) || !relocate_relr(image, loaded->bias))
		return false;
	loaded->table = (const struct ll_image *)(loaded->bias + image->symbol_address);
	return true;
}
