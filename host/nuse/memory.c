// SPDX-License-Identifier: GPL-2.0-only
/* The memory of programs: process_vm_readv(2) and process_vm_writev(2). */
#include <errno.h>
#include <string.h>
#include <sys/uio.h>

#include "nuse.h"

#define PAGE 4096

uint64_t memory_copy(void *opaque, void *local, uint64_t remote, uint64_t bytes, int to_program)
{
	const struct worker *worker = opaque;
	struct iovec here = { local, bytes };
	struct iovec there = { (void *)remote, bytes };
	ssize_t copied;

	if (!worker->request)
		return bytes;
	copied = to_program ?
			 process_vm_writev(worker->request->thread->tid, &here, 1, &there, 1, 0) :
			 process_vm_readv(worker->request->thread->tid, &here, 1, &there, 1, 0);
	return copied < 0 ? bytes : bytes - (uint64_t)copied;
}

int memory_read(const struct request *request, void *local, uint64_t remote, uint64_t bytes)
{
	struct iovec here = { local, bytes };
	struct iovec there = { (void *)remote, bytes };

	if (!bytes)
		return 0;
	return process_vm_readv(request->thread->tid, &here, 1, &there, 1, 0) == (ssize_t)bytes ?
		       0 :
		       -EFAULT;
}

int memory_write(const struct request *request, uint64_t remote, const void *local, uint64_t bytes)
{
	struct iovec here = { (void *)local, bytes };
	struct iovec there = { (void *)remote, bytes };

	if (!bytes)
		return 0;
	return process_vm_writev(request->thread->tid, &here, 1, &there, 1, 0) == (ssize_t)bytes ?
		       0 :
		       -EFAULT;
}

ssize_t memory_read_text(const struct request *request, char *text, uint64_t remote, size_t bytes)
{
	size_t have = 0;

	while (have < bytes) {
		/* Not beyond a page, which may be the last one that is mapped. */
		size_t part = PAGE - (remote + have) % PAGE;
		const char *end;

		if (part > bytes - have)
			part = bytes - have;
		if (memory_read(request, text + have, remote + have, part))
			return -EFAULT;
		end = memchr(text + have, 0, part);
		if (end)
			return end - text;
		have += part;
	}
	return -ENAMETOOLONG;
}
