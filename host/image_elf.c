// SPDX-License-Identifier: GPL-2.0-only
/*
 * What an image's ELF headers say.  They are read from the file and every
 * number is checked before it is used: a truncated or foreign file is refused
 * with a sentence, never with a crash.
 */
#include <elf.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "error.h"
#include "image.h"
#include "isa.h"

#define MAX_PROGRAM_HEADERS 32
#define MAX_DYNAMIC_ENTRIES 128
#define MAX_SYMBOLS	    1024 /* an image exports one */

struct reader {
	struct plh_image *image;
	uint64_t file_bytes;
	Elf64_Phdr headers[MAX_PROGRAM_HEADERS];
	uint32_t header_count;
	Elf64_Dyn dynamic[MAX_DYNAMIC_ENTRIES];
	uint32_t dynamic_count;
};

static bool truncated(const struct reader *reader)
{
	plh_set_error("%s is truncated: copy or build it again.", reader->image->path);
	return false;
}

static bool read_at(const struct reader *reader, uint64_t offset, void *buffer, uint64_t bytes)
{
	if (offset > reader->file_bytes || bytes > reader->file_bytes - offset)
		return truncated(reader);
	if (pread(reader->image->fd, buffer, bytes, (off_t)offset) != (ssize_t)bytes)
		return truncated(reader);
	return true;
}

/* Read what the file holds for an address of the image. */
static bool read_address(const struct reader *reader, uint64_t address, void *buffer,
			 uint64_t bytes)
{
	const struct plh_image *image = reader->image;

	for (uint32_t i = 0; i < image->segment_count; i++) {
		const struct image_segment *segment = &image->segments[i];

		if (address >= segment->address && bytes <= segment->file_bytes &&
		    address - segment->address <= segment->file_bytes - bytes)
			return read_at(reader, segment->offset + (address - segment->address),
				       buffer, bytes);
	}
	plh_set_error("%s is damaged: its dynamic section points outside its segments; build it "
		      "again.",
		      image->path);
	return false;
}

static const char *machine_name(unsigned int machine)
{
	switch (machine) {
	case EM_X86_64:
		return "x86-64";
	case EM_AARCH64:
		return "aarch64";
	case EM_386:
		return "i386";
	case EM_ARM:
		return "arm";
	case EM_RISCV:
		return "riscv";
	default:
		return "another processor";
	}
}

static bool read_header(struct reader *reader)
{
	const char *path = reader->image->path;
	Elf64_Ehdr header;

	if (reader->file_bytes < SELFMAG || !read_at(reader, 0, &header, SELFMAG) ||
	    memcmp(header.e_ident, ELFMAG, SELFMAG)) {
		plh_set_error("%s is not an ELF file: give the path of a liblinux.so.", path);
		return false;
	}
	if (!read_at(reader, 0, &header, sizeof(header)))
		return false;
	if (header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_machine != ISA_ELF_MACHINE) {
		plh_set_error("%s was built for %s and this process runs on " ISA_NAME
			      ": build liblinux.so for " ISA_NAME ".",
			      path, machine_name(header.e_machine));
		return false;
	}
	if (header.e_type != ET_DYN || header.e_phentsize != sizeof(Elf64_Phdr)) {
		plh_set_error("%s is not a shared object: give the path of a liblinux.so, not of a "
			      "vmlinux, a program or an object file.",
			      path);
		return false;
	}
	if (!header.e_phnum || header.e_phnum > MAX_PROGRAM_HEADERS) {
		plh_set_error("%s has %u program headers, which no liblinux.so has.", path,
			      header.e_phnum);
		return false;
	}
	reader->header_count = header.e_phnum;
	return read_at(reader, header.e_phoff, reader->headers,
		       header.e_phnum * sizeof(Elf64_Phdr));
}

static bool add_segment(struct reader *reader, const Elf64_Phdr *header)
{
	struct plh_image *image = reader->image;
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	struct image_segment *segment = &image->segments[image->segment_count];
	uint64_t low = header->p_vaddr & ~(page - 1);
	uint64_t high = (header->p_vaddr + header->p_memsz + page - 1) & ~(page - 1);

	if (header->p_filesz > header->p_memsz || header->p_offset > reader->file_bytes ||
	    header->p_filesz > reader->file_bytes - header->p_offset)
		return truncated(reader);
	if (image->segment_count == IMAGE_MAX_SEGMENTS || header->p_memsz > 1ull << 40 ||
	    header->p_vaddr > 1ull << 40 || (image->segment_count && low < image->high_address)) {
		plh_set_error("%s has segments that overlap or are too many: it was not made by "
			      "'make liblinux.so'.",
			      image->path);
		return false;
	}
	if ((header->p_vaddr - header->p_offset) & (page - 1)) {
		plh_set_error("%s cannot be mapped with this host's pages of %llu bytes: link it "
			      "with "
			      "-z max-page-size=%llu.",
			      image->path, (unsigned long long)page, (unsigned long long)page);
		return false;
	}
	*segment = (struct image_segment){
		.address = header->p_vaddr,
		.bytes = header->p_memsz,
		.offset = header->p_offset,
		.file_bytes = header->p_filesz,
		.protection = (header->p_flags & PF_R ? PROT_READ : 0) |
			      (header->p_flags & PF_W ? PROT_WRITE : 0) |
			      (header->p_flags & PF_X ? PROT_EXEC : 0),
	};
	if (!image->segment_count++)
		image->low_address = low;
	image->high_address = high;
	return true;
}

static bool read_segments(struct reader *reader)
{
	struct plh_image *image = reader->image;
	const Elf64_Phdr *dynamic = NULL;
	uint64_t entries;

	for (uint32_t i = 0; i < reader->header_count; i++) {
		const Elf64_Phdr *header = &reader->headers[i];

		if (header->p_type == PT_LOAD && header->p_memsz && !add_segment(reader, header))
			return false;
		if (header->p_type == PT_DYNAMIC)
			dynamic = header;
		if (header->p_type == PT_TLS || header->p_type == PT_INTERP) {
			plh_set_error("%s needs a dynamic linker and is no liblinux.so.",
				      image->path);
			return false;
		}
	}
	if (!image->segment_count || !dynamic) {
		plh_set_error("%s has no %s: it is no liblinux.so.", image->path,
			      dynamic ? "segment to load" : "dynamic section");
		return false;
	}
	entries = dynamic->p_filesz / sizeof(Elf64_Dyn);
	if (entries > MAX_DYNAMIC_ENTRIES)
		entries = MAX_DYNAMIC_ENTRIES;
	reader->dynamic_count = (uint32_t)entries;
	return read_at(reader, dynamic->p_offset, reader->dynamic, entries * sizeof(Elf64_Dyn));
}

static uint64_t dynamic_value(const struct reader *reader, int64_t tag)
{
	for (uint32_t i = 0; i < reader->dynamic_count && reader->dynamic[i].d_tag != DT_NULL; i++)
		if (reader->dynamic[i].d_tag == tag)
			return reader->dynamic[i].d_un.d_val;
	return 0;
}

/* How many dynamic symbols there are; the ELF headers only say so indirectly. */
static bool count_symbols(const struct reader *reader, uint32_t *count)
{
	uint64_t gnu = dynamic_value(reader, DT_GNU_HASH);
	uint64_t sysv = dynamic_value(reader, DT_HASH);
	uint32_t words[4]; /* GNU: buckets, first symbol, filter words, shift */
	uint64_t chains;

	if (sysv) {
		if (!read_address(reader, sysv, words, 8))
			return false;
		*count = words[1];
		return true;
	}
	*count = 0;
	if (!gnu)
		return true;
	if (!read_address(reader, gnu, words, sizeof(words)))
		return false;
	chains = gnu + sizeof(words) + words[2] * 8ull + words[0] * 4ull;
	for (uint32_t i = 0; i < words[0] && i < MAX_SYMBOLS; i++) {
		uint32_t first;

		if (!read_address(reader, chains - words[0] * 4ull + i * 4ull, &first, 4))
			return false;
		if (first >= *count)
			*count = first;
	}
	/* The last chain ends with a hash whose lowest bit is set. */
	for (uint32_t hash = 0; *count >= words[1] && *count < MAX_SYMBOLS && !(hash & 1); ++*count)
		if (!read_address(reader, chains + (*count - words[1]) * 4ull, &hash, 4))
			return false;
	return true;
}

static bool find_symbol(struct reader *reader)
{
	static const char name[] = "liblinux_image";
	uint64_t symbols = dynamic_value(reader, DT_SYMTAB);
	uint64_t strings = dynamic_value(reader, DT_STRTAB);
	uint64_t string_bytes = dynamic_value(reader, DT_STRSZ);
	uint32_t count;

	if (symbols && strings) {
		if (!count_symbols(reader, &count))
			return false;
		for (uint32_t i = 1; i < count && i < MAX_SYMBOLS; i++) {
			char found[sizeof(name)];
			Elf64_Sym symbol;

			if (!read_address(reader, symbols + i * sizeof(symbol), &symbol,
					  sizeof(symbol)))
				return false;
			if (symbol.st_shndx == SHN_UNDEF ||
			    symbol.st_name + sizeof(name) > string_bytes)
				continue;
			if (!read_address(reader, strings + symbol.st_name, found, sizeof(found)))
				return false;
			if (!memcmp(found, name, sizeof(name))) {
				reader->image->symbol_address = symbol.st_value;
				return true;
			}
		}
	}
	plh_set_error("%s does not export the symbol liblinux_image: it is a shared object, but no "
		      "liblinux.so.",
		      reader->image->path);
	return false;
}

uint64_t image_bytes_from(const struct plh_image *image, uint64_t address)
{
	for (uint32_t i = 0; i < image->segment_count; i++) {
		const struct image_segment *segment = &image->segments[i];

		if (address >= segment->address && address - segment->address < segment->bytes)
			return segment->bytes - (address - segment->address);
	}
	return 0;
}

static bool inside_segments(const struct plh_image *image, uint64_t address, uint64_t bytes)
{
	return image_bytes_from(image, address) >= bytes;
}

static bool find_relocations(struct reader *reader)
{
	struct plh_image *image = reader->image;

	image->rela.address = dynamic_value(reader, DT_RELA);
	image->rela.bytes = image->rela.address ? dynamic_value(reader, DT_RELASZ) : 0;
	image->relr.address = dynamic_value(reader, DT_RELR);
	image->relr.bytes = image->relr.address ? dynamic_value(reader, DT_RELRSZ) : 0;
	if (dynamic_value(reader, DT_REL) || dynamic_value(reader, DT_JMPREL) ||
	    dynamic_value(reader, DT_NEEDED)) {
		plh_set_error("%s needs a dynamic linker (other libraries, or relocations of "
			      "another "
			      "kind): it is no liblinux.so.",
			      image->path);
		return false;
	}
	if ((image->rela.bytes &&
	     !inside_segments(image, image->rela.address, image->rela.bytes)) ||
	    (image->relr.bytes &&
	     !inside_segments(image, image->relr.address, image->relr.bytes)) ||
	    !inside_segments(image, image->symbol_address, sizeof(struct ll_image))) {
		plh_set_error("%s is damaged: a table lies outside its segments; build it again.",
			      image->path);
		return false;
	}
	return true;
}

bool image_read_elf(struct plh_image *image)
{
	struct reader *reader = calloc(1, sizeof(*reader));
	struct stat status;
	bool valid = false;

	if (!reader) {
		plh_set_error("There is no memory to read %s.", image->path);
		return false;
	}
	reader->image = image;
	if (!fstat(image->fd, &status)) {
		reader->file_bytes = (uint64_t)status.st_size;
		valid = read_header(reader) && read_segments(reader) && find_symbol(reader) &&
			find_relocations(reader);
	}
	free(reader);
	return valid;
}
