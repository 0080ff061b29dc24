// SPDX-License-Identifier: GPL-2.0-only
/*
 * Folders of the stack for programs: a folder of the host that shows the same names,
 * made anew whenever one is opened.  Its files are empty, since opening them leads
 * into the stack again.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "nuse.h"

struct entry {
	uint64_t ino;
	int64_t offset;
	unsigned short bytes;
	unsigned char type;
	char name[];
};

static int remove_one(const char *path, const struct stat *status, int kind, struct FTW *walk)
{
	(void)status;
	(void)kind;
	(void)walk;
	remove(path);
	return 0;
}

void tree_free(struct plh_nuse *nuse)
{
	if (nuse->tree[0])
		nftw(nuse->tree, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	nuse->tree[0] = 0;
}

static int make_root(struct plh_nuse *nuse)
{
	static const char *const places[] = { "/dev/shm/pylibos-XXXXXX", "/tmp/pylibos-XXXXXX" };

	for (int i = 0; i < 2 && !nuse->tree[0]; i++) {
		strcpy(nuse->tree, places[i]);
		if (!mkdtemp(nuse->tree))
			nuse->tree[0] = 0;
	}
	return nuse->tree[0] ? 0 : -EACCES;
}

/* All folders above, then the folder itself, empty. */
static int make_folder(const char *root, const char *path, char *folder, size_t bytes)
{
	if (snprintf(folder, bytes, "%s%s", root, path) >= (int)bytes)
		return -ENAMETOOLONG;
	for (char *at = folder + strlen(root) + 1; *at; at++) {
		if (*at != '/')
			continue;
		*at = 0;
		/* What is no folder was an empty file of a folder above. */
		if (mkdir(folder, 0755) && errno == EEXIST && unlink(folder) == 0)
			mkdir(folder, 0755);
		*at = '/';
	}
	nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	return mkdir(folder, 0755) && errno != EEXIST ? -errno : 0;
}

static void make_entry(struct plh_nuse *nuse, struct program *program, const char *path,
		       const char *folder, const struct entry *entry)
{
	char here[PATH_MAX], there[PATH_MAX], target[PATH_MAX];
	int64_t length;

	if (!strcmp(entry->name, ".") || !strcmp(entry->name, "..") ||
	    snprintf(here, sizeof(here), "%s/%s", folder, entry->name) >= PATH_MAX ||
	    snprintf(there, sizeof(there), "%s/%s", path, entry->name) >= PATH_MAX)
		return;
	if (entry->type == DT_DIR) {
		mkdir(here, 0755);
	} else if (entry->type == DT_LNK) {
		length = program_call(nuse, program, SYS_readlinkat, (uint64_t)AT_FDCWD,
				      (uint64_t)there, (uint64_t)target, sizeof(target) - 1, 0, 0);
		if (length < 0)
			return;
		target[length] = 0;
		if (symlink(target, here))
			return;
	} else {
		int fd = open(here, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);

		if (fd >= 0)
			close(fd);
	}
}

int tree_open(struct plh_nuse *nuse, struct program *program, int stack_fd, const char *path)
{
	char folder[PATH_MAX];
	_Alignas(8) char buffer[8192];
	int error = nuse->tree[0] ? 0 : make_root(nuse);
	int64_t bytes;

	if (!error)
		error = make_folder(nuse->tree, path, folder, sizeof(folder));
	if (error)
		return error;
	while ((bytes = program_call(nuse, program, SYS_getdents64, (uint64_t)stack_fd,
				     (uint64_t)buffer, sizeof(buffer), 0, 0, 0)) > 0) {
		for (int64_t at = 0; at < bytes;) {
			const struct entry *entry = (const struct entry *)(buffer + at);

			make_entry(nuse, program, path, folder, entry);
			at += entry->bytes;
		}
	}
	if (bytes < 0)
		return (int)bytes;
	stack_fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return stack_fd < 0 ? -errno : stack_fd;
}
