// SPDX-License-Identifier: GPL-2.0-only
/*
 * Opening an image: everything that can be wrong with the file is found here,
 * once, so that booting a kernel of it only fails for want of resources.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "error.h"
#include "image.h"
#include "loader.h"
#include "prefault.h"

static bool check_abi(const struct plh_image *image, const struct ll_image *found)
{
	if (found->magic != LL_MAGIC) {
		plh_set_error("%s exports liblinux_image, but it does not start with the magic "
			      "number of a liblinux.so: build it with 'make liblinux.so'.",
			      image->path);
		return false;
	}
	if (found->abi_version != LL_ABI_VERSION) {
		plh_set_error("%s speaks version %u of the ABI (abi/liblinux.h) and this host "
			      "version "
			      "%u: build both from the same source tree.",
			      image->path, found->abi_version, LL_ABI_VERSION);
		return false;
	}
	if (found->image_bytes != sizeof(struct ll_image) ||
	    found->machine_bytes != sizeof(struct ll_machine) ||
	    found->task_bytes != sizeof(struct ll_task) ||
	    found->netdev_bytes != sizeof(struct ll_netdev) ||
	    found->desc_bytes != sizeof(struct ll_desc)) {
		plh_set_error("%s claims version %u of the ABI (abi/liblinux.h), but its "
			      "structures "
			      "have other sizes than the host's: build both from the same source "
			      "tree.",
			      image->path, found->abi_version);
		return false;
	}
	if (!found->boot || !found->enter || !found->call || !found->fixup || !found->fault) {
		plh_set_error("%s lacks an entry point in its liblinux_image: it was not linked "
			      "completely; build it again.",
			      image->path);
		return false;
	}
	return true;
}

/* A string of the table, or "" if it points anywhere but into the image. */
static void copy_text(const struct plh_image *image, const struct loaded *loaded, char *to,
		      size_t bytes, const char *from)
{
	uint64_t room = image_bytes_from(image, (uint64_t)from - loaded->bias);

	if (room > bytes)
		room = bytes;
	if (room)
		snprintf(to, bytes, "%.*s", (int)room, from);
}

/* Load the image once, to look at its table as it will be in a kernel. */
static bool read_table(struct plh_image *image)
{
	uint64_t bytes = image->high_address - image->low_address;
	struct loaded loaded;
	const struct ll_image *table;
	bool valid;
	void *base =
		mmap(NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (base == MAP_FAILED) {
		plh_set_error("There is no address space for the %llu bytes of %s (%s).",
			      (unsigned long long)bytes, image->path, plh_errno_text(-errno));
		return false;
	}
	valid = loader_map(image, base, &loaded) && loader_relocate(image, &loaded);
	if (valid) {
		table = loaded.table;
		valid = check_abi(image, table);
		if (valid) {
			copy_text(image, &loaded, image->release, sizeof(image->release),
				  table->release);
			copy_text(image, &loaded, image->profile, sizeof(image->profile),
				  table->profile);
			copy_text(image, &loaded, image->banner, sizeof(image->banner),
				  table->banner);
			image->banner[strcspn(image->banner, "\n")] = 0;
			image->memory_min_bytes = table->memory_min_bytes;
		}
	}
	munmap(base, bytes);
	return valid;
}

static bool open_file(struct plh_image *image)
{
	struct stat status;

	image->fd = open(image->path, O_RDONLY | O_CLOEXEC);
	if (image->fd < 0) {
		if (errno == ENOENT)
			plh_set_error("There is no file %s: build it with 'make liblinux.so' or "
				      "give "
				      "the path of another liblinux.so.",
				      image->path);
		else
			plh_set_error("%s cannot be opened (%s).", image->path,
				      plh_errno_text(-errno));
		return false;
	}
	if (fstat(image->fd, &status) || !S_ISREG(status.st_mode)) {
		plh_set_error("%s is not a regular file: give the path of a liblinux.so.",
			      image->path);
		return false;
	}
	return true;
}

struct plh_image *plh_image_open(const char *path)
{
	struct plh_image *image;

	if (!path) {
		plh_set_error("No path was given: pass the path of a liblinux.so.");
		return NULL;
	}
	image = calloc(1, sizeof(*image));
	if (!image) {
		plh_set_error("There is no memory to open %s.", path);
		return NULL;
	}
	image->references = 1;
	image->fd = -1;
	image->path = strdup(path);
	if (!image->path)
		plh_set_error("There is no memory to open %s.", path);
	else if (open_file(image) && image_read_elf(image) && read_table(image))
		return image;
	image_put(image);
	return NULL;
}

void image_get(struct plh_image *image)
{
	__atomic_add_fetch(&image->references, 1, __ATOMIC_RELAXED);
}

void image_put(struct plh_image *image)
{
	if (__atomic_sub_fetch(&image->references, 1, __ATOMIC_ACQ_REL))
		return;
	if (image->fd >= 0)
		close(image->fd);
	prefault_forget(image);
	free(image->path);
	free(image);
}

void plh_image_close(struct plh_image *image)
{
	if (image)
		image_put(image);
}

const char *plh_image_release(const struct plh_image *image)
{
	return image->release;
}

const char *plh_image_profile(const struct plh_image *image)
{
	return image->profile;
}

const char *plh_image_banner(const struct plh_image *image)
{
	return image->banner;
}
