// SPDX-License-Identifier: GPL-2.0-only
/* System calls that name a file: those of the stack's network are the stack's. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "nuse.h"

#ifndef NSFS_MAGIC
#define NSFS_MAGIC 0x6e736673
#endif

#define CHUNK	  65536
#define MAX_BYTES (64 << 20) /* of a file of the stack */

/* --- Opening --- */

static int write_all(int fd, const char *data, size_t bytes)
{
	while (bytes) {
		ssize_t written = write(fd, data, bytes);

		if (written < 0)
			return -errno;
		data += written;
		bytes -= (size_t)written;
	}
	return 0;
}

/* A file with this text, to be read only, at its beginning; -errno. */
static int finish_copy(int fd)
{
	char path[64];
	int reader;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	reader = open(path, O_RDONLY | O_CLOEXEC);
	if (reader < 0)
		reader = -errno;
	close(fd);
	return reader;
}

static int copy_of_text(const char *text, size_t bytes)
{
	int fd = memfd_create("pylibos", MFD_CLOEXEC);
	int error;

	if (fd < 0)
		return -errno;
	error = write_all(fd, text, bytes);
	if (!error)
		return finish_copy(fd);
	close(fd);
	return error;
}

/* What a file of /proc or /sys says now; such files are made when they are read. */
static int copy_of_file(struct plh_nuse *nuse, struct program *program, int stack_fd)
{
	int fd = memfd_create("pylibos", MFD_CLOEXEC);
	char *chunk = malloc(CHUNK);
	int64_t bytes = chunk ? 0 : -ENOMEM;
	size_t total = 0;

	if (fd < 0) {
		free(chunk);
		return -errno;
	}
	while (chunk && total < MAX_BYTES) {
		bytes = program_call(nuse, program, SYS_read, (uint64_t)stack_fd, (uint64_t)chunk,
				     CHUNK, 0, 0, 0);
		if (bytes <= 0)
			break;
		total += (size_t)bytes;
		bytes = write_all(fd, chunk, (size_t)bytes);
		if (bytes < 0)
			break;
	}
	free(chunk);
	if (bytes >= 0)
		return finish_copy(fd);
	close(fd);
	return (int)bytes;
}

static void close_stack(struct plh_nuse *nuse, int stack_fd)
{
	stack_call(nuse, SYS_close, (uint64_t)stack_fd, 0, 0, 0, 0, 0);
}

static void answer_file(struct plh_nuse *nuse, struct request *request, int fd, int flags)
{
	if (fd < 0)
		request_answer(nuse, request, fd);
	else
		request_answer_fd(nuse, request, fd, flags & O_CLOEXEC);
}

static void open_on_stack(struct plh_nuse *nuse, struct request *request, const char *path,
			  int flags)
{
	struct program *program = request->thread->program;
	struct statfs filesystem = { 0 };
	struct stat status;
	struct object *object;
	int64_t stack_fd = program_call(nuse, program, SYS_openat, (uint64_t)AT_FDCWD,
					(uint64_t)path, (uint64_t)(flags & ~O_CLOEXEC), 0644, 0, 0);
	int64_t error;

	if (stack_fd < 0) {
		request_answer(nuse, request, stack_fd);
		return;
	}
	error = stack_call(nuse, SYS_fstat, (uint64_t)stack_fd, (uint64_t)&status, 0, 0, 0, 0);
	stack_call(nuse, SYS_fstatfs, (uint64_t)stack_fd, (uint64_t)&filesystem, 0, 0, 0, 0);
	if (error) {
		close_stack(nuse, (int)stack_fd);
		request_answer(nuse, request, error);
	} else if (S_ISDIR(status.st_mode)) {
		int fd = tree_open(nuse, program, (int)stack_fd, path);

		close_stack(nuse, (int)stack_fd);
		answer_file(nuse, request, fd, flags);
	} else if (S_ISREG(status.st_mode) && (flags & O_ACCMODE) == O_RDONLY &&
		   filesystem.f_type != NSFS_MAGIC) {
		int fd = copy_of_file(nuse, program, (int)stack_fd);

		close_stack(nuse, (int)stack_fd);
		answer_file(nuse, request, fd, flags);
	} else {
		object = object_create(nuse, OBJECT_FILE, (int)stack_fd, flags & O_NONBLOCK);
		if (object)
			request_answer_object(nuse, request, object, flags & O_CLOEXEC);
		else
			request_answer(nuse, request, -errno);
	}
}

static void open_path(struct plh_nuse *nuse, struct request *request, int dirfd, uint64_t remote,
		      int flags)
{
	char path[PATH_MAX];
	const char *text;
	size_t bytes = 0;

	switch (path_of(nuse, request, dirfd, remote, path)) {
	case PLACE_HOST:
		request_pass(nuse, request);
		break;
	case PLACE_REDIRECT:
		text = redirect_text(nuse, path, &bytes);
		if ((flags & O_ACCMODE) == O_RDONLY)
			answer_file(nuse, request, copy_of_text(text, bytes), flags);
		else
			request_refuse(nuse, request, -EROFS,
				       "this file comes with the stack and cannot be written");
		break;
	case PLACE_STACK:
		open_on_stack(nuse, request, path, flags);
		break;
	}
}

void call_open(struct plh_nuse *nuse, struct request *request)
{
	const __u64 *args = request->data.args;
	struct {
		uint64_t flags, mode, resolve;
	} how = { 0 };

	switch (request->data.nr) {
	case SYS_openat:
		open_path(nuse, request, (int)args[0], args[1], (int)args[2]);
		break;
	case SYS_openat2:
		if (args[3] < sizeof(how) || memory_read(request, &how, args[2], sizeof(how)))
			request_pass(nuse, request);
		else
			open_path(nuse, request, (int)args[0], args[1], (int)how.flags);
		break;
	default: /* open */
		open_path(nuse, request, AT_FDCWD, args[0], (int)args[1]);
	}
}

/* --- Asking about files --- */

/* Where a call has its folder, path and the rest; -1: it has none. */
struct shape {
	int8_t folder, path, result, flags;
};

static struct shape shape_of(int nr)
{
	switch (nr) {
	case SYS_newfstatat:
		return (struct shape){ 0, 1, 2, 3 };
	case SYS_statx:
		return (struct shape){ 0, 1, 4, 2 };
	case SYS_faccessat:
		return (struct shape){ 0, 1, -1, -1 };
	case SYS_faccessat2:
		return (struct shape){ 0, 1, -1, 3 };
	case SYS_readlinkat:
		return (struct shape){ 0, 1, 2, -1 };
#ifdef SYS_access
	case SYS_access:
		return (struct shape){ -1, 0, -1, -1 };
#endif
	default: /* stat, lstat, readlink */
		return (struct shape){ -1, 0, 1, -1 };
	}
}

static size_t result_bytes(const struct request *request)
{
	switch (request->data.nr) {
	case SYS_statx:
		return sizeof(struct statx);
	case SYS_readlinkat:
		return request->data.args[3];
#ifdef SYS_readlink
	case SYS_readlink:
		return request->data.args[2];
#endif
	}
	return sizeof(struct stat);
}

void call_path(struct plh_nuse *nuse, struct request *request)
{
	const struct shape shape = shape_of(request->data.nr);
	const __u64 *args = request->data.args;
	char path[PATH_MAX], result[PATH_MAX];
	uint64_t copy[6];
	size_t bytes = shape.result < 0 ? 0 : result_bytes(request);
	int64_t ret;

	if (path_of(nuse, request, shape.folder < 0 ? AT_FDCWD : (int)args[shape.folder],
		    args[shape.path], path) != PLACE_STACK) {
		request_pass(nuse, request);
		return;
	}
	if (bytes > sizeof(result))
		bytes = sizeof(result);
	memcpy(copy, args, sizeof(copy));
	copy[shape.path] = (uint64_t)path;
	if (shape.folder >= 0)
		copy[shape.folder] = (uint64_t)AT_FDCWD;
	if (shape.result >= 0)
		copy[shape.result] = (uint64_t)result;
	ret = program_call(nuse, request->thread->program, (uint64_t)request->data.nr, copy[0],
			   copy[1], copy[2], copy[3], copy[4], copy[5]);
	/* readlink(2) returns how much it wrote, the others 0. */
	if (ret > 0)
		bytes = (size_t)ret;
	if (ret >= 0 && shape.result >= 0 &&
	    memory_write(request, args[shape.result], result, bytes))
		ret = -EFAULT;
	request_answer(nuse, request, ret);
}
