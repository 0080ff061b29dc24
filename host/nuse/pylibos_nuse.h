/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * NUSE: unmodified programs on a kernel of this library.
 *
 * A program is started by plh_nuse_exec(), with a seccomp filter that turns its
 * network system calls, and those of all its children, into notifications.  A
 * server (plh_nuse_run()) makes each of them on a task of its kernel, whose
 * pointers lead into the memory of the program, and answers with the result.
 *
 * Threads: a server belongs to the thread that runs it; only plh_nuse_stop() may
 * be called from elsewhere.
 */
#ifndef PYLIBOS_NUSE_H
#define PYLIBOS_NUSE_H

#include "pylibos_host.h"

#ifdef __cplusplus
extern "C" {
#endif

struct plh_nuse;

struct plh_nuse_config {
	/* Calls of programs of this user are root's on the stack; others keep their numbers. */
	uint32_t owner_uid;
	uint32_t reserved;
	/* A descriptor that each refused call is told to, a line each; -1: none. */
	int32_t log_fd;
	/* Likewise every call, as strace(1) does; -1: none. */
	int32_t trace_fd;
	/* How long it looks for work before it sleeps, which takes a processor; 0: not at all. */
	uint64_t spin_ns;
};

/* A server for programs on a kernel, whose world must have the real clock. */
struct plh_nuse *plh_nuse_create(struct plh_kernel *kernel, const struct plh_nuse_config *config);
/* Close what its programs left open, and forget them: their calls fail with ENOSYS. */
void plh_nuse_destroy(struct plh_nuse *nuse);
/*
 * Serve the programs behind a listener that plh_nuse_exec() sent; the descriptor is
 * the server's from now on.
 */
int plh_nuse_add(struct plh_nuse *nuse, int listener_fd);
/*
 * Serve until wake_fd polls readable (PLH_OK), until there is no listener any more if
 * until_empty (PLH_TIMEOUT), a host signal (PLH_SIGNAL), or the kernel dies (PLH_DEAD).
 */
int plh_nuse_run(struct plh_nuse *nuse, int wake_fd, int until_empty);

/* Programs that read the file at an absolute path see this text; 0 or -errno. */
int plh_nuse_redirect(struct plh_nuse *nuse, const char *path, const void *text, uint64_t bytes);

struct plh_nuse_stats {
	uint64_t calls; /* notifications served */
	uint64_t passed; /* of them left to the host, being none of the stack's */
	uint64_t refused; /* of them neither */
	uint64_t undelivered; /* results whose program had been interrupted */
	uint32_t programs; /* processes that have made a call and live */
	uint32_t sockets; /* open descriptors of the stack */
	uint32_t blocked; /* calls that wait */
	uint32_t listeners;
};
void plh_nuse_stats(const struct plh_nuse *nuse, struct plh_nuse_stats *stats);

/* A program that runs on the stack: process id, and its user on the host. */
struct plh_nuse_program {
	int32_t pid;
	int32_t stack_pid; /* of its task in the kernel */
	uint32_t uid;
	uint32_t threads;
};
/* Fills up to count of them; returns how many there are. */
uint32_t plh_nuse_programs(const struct plh_nuse *nuse, struct plh_nuse_program *programs,
			   uint32_t count);

/*
 * Turn this process into a program on a stack: install the filter, send its listener
 * over server_fd (a connected UNIX stream socket, with one byte 'L'), wait for one byte
 * as the answer, and execvpe().  Returns only when that failed: -errno.
 */
int plh_nuse_exec(int server_fd, const char *file, char *const *argv, char *const *envp);

#ifdef __cplusplus
}
#endif
#endif /* PYLIBOS_NUSE_H */
