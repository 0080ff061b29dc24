// SPDX-License-Identifier: GPL-2.0-only
/*
 * Programs: the host's processes and threads that make calls, and the tasks that
 * make these calls in the kernel.  All tasks share one table of descriptors, since
 * programs name files of the stack by placeholders; those of a process are threads
 * of one process there, with its user.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "epoll.h"
#include "nuse.h"

#ifndef PIDFD_THREAD
#define PIDFD_THREAD O_EXCL
#endif

#define LEADER_FLAGS  (CLONE_VM | CLONE_FILES | CLONE_FS)
#define WORKER_FLAGS  (LEADER_FLAGS | CLONE_SIGHAND | CLONE_THREAD)
#define MAX_ANCESTORS 64
#define MAX_IDLE      64 /* workers that are kept for the next blocked calls */

/* --- Workers --- */

static struct worker *worker_create(struct plh_nuse *nuse, struct worker *parent, uint64_t flags,
				    struct program *program)
{
	struct worker *worker = calloc(1, sizeof(*worker));
	int64_t error = -ENOMEM;

	if (!worker)
		goto fail;
	worker->task = plh_task_create(nuse->kernel, parent->task, flags, &error);
	if (!worker->task)
		goto fail;
	worker->program = program;
	if (plh_task_attach(nuse->kernel, worker->task, worker, program ? memory_copy : NULL) !=
	    PLH_OK) {
		plh_task_exit(nuse->kernel, worker->task, 0);
		error = -ENOMEM;
		goto fail;
	}
	return worker;
fail:
	free(worker);
	errno = (int)-error;
	return NULL;
}

static bool has_died(const struct worker *worker)
{
	return __atomic_load_n(&worker->task->state, __ATOMIC_ACQUIRE) == LL_TASK_DEAD;
}

static void worker_free(struct plh_nuse *nuse, struct worker *worker)
{
	int status = PLH_OK;

	/* The end of a task is that of its whole process, but for this call. */
	if (worker->program && !has_died(worker))
		plh_call6(nuse->kernel, worker->task, &status, SYS_exit, 0, 0, 0, 0, 0, 0);
	plh_task_exit(nuse->kernel, worker->task, 0);
	free(worker);
}

int64_t stack_call(struct plh_nuse *nuse, uint64_t nr, uint64_t a0, uint64_t a1, uint64_t a2,
		   uint64_t a3, uint64_t a4, uint64_t a5)
{
	int status = PLH_OK;
	int64_t ret = plh_call6(nuse->kernel, nuse->root.task, &status, nr, a0, a1, a2, a3, a4, a5);

	return status == PLH_OK ? ret : -EIO;
}

/* Its user: the owner of the stack is root there. */
static int take_user(struct plh_nuse *nuse, const struct program *program, struct worker *worker)
{
	uint64_t uid = program->uid, gid = program->gid;
	int status = PLH_OK;
	int64_t ret;

	if (program->uid == nuse->config.owner_uid)
		return 0;
	/* The task's memory is the program's already, so no call with a pointer. */
	ret = plh_call6(nuse->kernel, worker->task, &status, SYS_setgroups, 0, 0, 0, 0, 0, 0);
	if (status == PLH_OK && !ret)
		ret = plh_call6(nuse->kernel, worker->task, &status, SYS_setresgid, gid, gid, gid,
				0, 0, 0);
	if (status == PLH_OK && !ret)
		ret = plh_call6(nuse->kernel, worker->task, &status, SYS_setresuid, uid, uid, uid,
				0, 0, 0);
	return status == PLH_OK ? (int)ret : -EIO;
}

static void drop_idle(struct plh_nuse *nuse, struct program *program)
{
	while (program->idle) {
		struct worker *worker = program->idle;

		program->idle = worker->next;
		program->workers--;
		worker_free(nuse, worker);
	}
}

struct identity {
	pid_t tgid, parent;
	uint32_t uid, gid; /* effective */
};

/* "Uid:\treal\teffective\t..." of /proc/TID/status */
static int read_identity(pid_t tid, struct identity *identity)
{
	char path[64], text[2048];
	const char *at;
	ssize_t bytes;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/status", tid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -ESRCH;
	bytes = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (bytes <= 0)
		return -ESRCH;
	text[bytes] = 0;
	at = strstr(text, "\nTgid:");
	if (!at || sscanf(at, "\nTgid:%d", &identity->tgid) != 1)
		return -ESRCH;
	at = strstr(at, "\nPPid:");
	if (!at || sscanf(at, "\nPPid:%d", &identity->parent) != 1)
		return -ESRCH;
	at = strstr(at, "\nUid:");
	if (!at || sscanf(at, "\nUid:%*u%u", &identity->uid) != 1)
		return -ESRCH;
	at = strstr(at, "\nGid:");
	if (!at || sscanf(at, "\nGid:%*u%u", &identity->gid) != 1)
		return -ESRCH;
	return 0;
}

/* Into the network namespace of another program's leader, or of its own one before. */
static int enter_network(struct plh_nuse *nuse, struct worker *leader, const struct worker *other)
{
	int status = PLH_OK;
	char path[64];
	int64_t fd, ret;

	snprintf(path, sizeof(path), "/proc/%d/ns/net", other->task->pid);
	fd = stack_call(nuse, SYS_openat, (uint64_t)AT_FDCWD, (uint64_t)path, O_RDONLY, 0, 0, 0);
	if (fd < 0)
		return (int)fd;
	ret = plh_call6(nuse->kernel, leader->task, &status, SYS_setns, (uint64_t)fd, CLONE_NEWNET,
			0, 0, 0, 0);
	stack_call(nuse, SYS_close, (uint64_t)fd, 0, 0, 0, 0, 0);
	return status == PLH_OK ? (int)ret : -EIO;
}

/* other: whose network it shares, or NULL for that of the stack. */
static int make_leader(struct plh_nuse *nuse, struct program *program, const struct worker *other)
{
	struct worker *leader = worker_create(nuse, &nuse->root, LEADER_FLAGS, NULL);
	int error;

	if (!leader)
		return -errno;
	error = other ? enter_network(nuse, leader, other) : 0;
	if (!error)
		error = take_user(nuse, program, leader);
	if (error)
		worker_free(nuse, leader);
	else
		program->leader = leader;
	return error;
}

static int refresh(struct plh_nuse *nuse, struct program *program)
{
	struct identity identity;
	struct worker *leader = program->leader;
	int error = 0;

	program->stale = false;
	if (read_identity(program->tgid, &identity))
		return -ESRCH;
	if (identity.uid == program->uid && identity.gid == program->gid)
		return 0;
	program->uid = identity.uid;
	program->gid = identity.gid;
	/* Calls in flight end with the user they began with. */
	drop_idle(nuse, program);
	program->leader = NULL;
	if (leader && program->own_network)
		error = make_leader(nuse, program, leader);
	if (leader)
		worker_free(nuse, leader);
	return error;
}

static int need_leader(struct plh_nuse *nuse, struct program *program)
{
	if (program->stale && refresh(nuse, program))
		return -ESRCH;
	return program->leader ? 0 : make_leader(nuse, program, NULL);
}

int64_t program_call(struct plh_nuse *nuse, struct program *program, uint64_t nr, uint64_t a0,
		     uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4, uint64_t a5)
{
	int status = PLH_OK;
	int64_t ret = need_leader(nuse, program);

	if (ret)
		return ret;
	ret = plh_call6(nuse->kernel, program->leader->task, &status, nr, a0, a1, a2, a3, a4, a5);
	return status == PLH_OK ? ret : -EIO;
}

int64_t program_change_network(struct plh_nuse *nuse, struct program *program, uint64_t nr,
			       uint64_t a0, uint64_t a1)
{
	int64_t ret = program_call(nuse, program, nr, a0, a1, 0, 0, 0, 0);

	if (ret < 0)
		return ret;
	drop_idle(nuse, program);
	program->own_network = true;
	return ret;
}

int program_stack_pid(struct plh_nuse *nuse, struct program *program)
{
	return need_leader(nuse, program) ? 0 : program->leader->task->pid;
}

struct worker *worker_of(struct plh_nuse *nuse, struct program *program)
{
	int error = need_leader(nuse, program);
	struct worker *worker;

	if (error) {
		errno = -error;
		return NULL;
	}
	worker = program->idle;
	if (worker) {
		program->idle = worker->next;
		worker->next = NULL;
		return worker;
	}
	worker = worker_create(nuse, program->leader, WORKER_FLAGS, program);
	if (worker)
		program->workers++;
	return worker;
}

struct worker *worker_local(struct plh_nuse *nuse)
{
	struct worker *worker = nuse->idle_local;

	if (!worker)
		return worker_create(nuse, &nuse->root, LEADER_FLAGS, NULL);
	nuse->idle_local = worker->next;
	worker->next = NULL;
	return worker;
}

void worker_put(struct plh_nuse *nuse, struct worker *worker)
{
	struct program *program = worker->program;

	worker->request = NULL;
	if (!program) {
		worker->next = nuse->idle_local;
		nuse->idle_local = worker;
		return;
	}
	if (has_died(worker) || program->gone || program->workers > MAX_IDLE) {
		program->workers--;
		worker_free(nuse, worker);
		return;
	}
	worker->next = program->idle;
	program->idle = worker;
}

/* --- Processes and threads --- */

static void thread_free(struct plh_nuse *nuse, struct nuse_thread *thread)
{
	if (thread->request)
		request_abandon(nuse, thread->request);
	if (thread->parked)
		request_abandon(nuse, thread->parked);
	table_remove(&nuse->threads, &thread->node);
	watch_remove(nuse, &thread->watch);
	if (thread->fd_folder >= 0)
		close(thread->fd_folder);
	watch_free(nuse, &thread->watch);
}

static void program_ended(struct plh_nuse *nuse, struct program *program)
{
	program->gone = true;
	nuse->stats.programs--;
	table_remove(&nuse->programs, &program->node);
	watch_remove(nuse, &program->watch);
	while (program->threads) {
		struct nuse_thread *thread = program->threads;

		program->threads = thread->next;
		thread_free(nuse, thread);
	}
	drop_idle(nuse, program);
	if (program->leader)
		worker_free(nuse, program->leader);
	program->leader = NULL;
	epolls_program_ended(nuse, program->tgid);
	watch_free(nuse, &program->watch);
}

static void program_ready(struct plh_nuse *nuse, struct watch *watch, uint32_t events)
{
	(void)events;
	program_ended(nuse, (struct program *)((char *)watch - offsetof(struct program, watch)));
}

static void thread_ready(struct plh_nuse *nuse, struct watch *watch, uint32_t events)
{
	struct nuse_thread *thread =
		(struct nuse_thread *)((char *)watch - offsetof(struct nuse_thread, watch));
	struct nuse_thread **at = &thread->program->threads;

	(void)events;
	while (*at && *at != thread)
		at = &(*at)->next;
	if (*at)
		*at = thread->next;
	thread_free(nuse, thread);
}

static struct program *program_by_pid(const struct plh_nuse *nuse, pid_t tgid)
{
	struct node *node = table_find(&nuse->programs, (uint64_t)tgid);

	return node ? (struct program *)((char *)node - offsetof(struct program, node)) : NULL;
}

/* The nearest ancestor that is a program whose network is its own; NULL. */
static struct program *network_giver(const struct plh_nuse *nuse, pid_t parent)
{
	for (int i = 0; i < MAX_ANCESTORS && parent > 1; i++) {
		struct program *program = program_by_pid(nuse, parent);
		struct identity identity;

		if (program)
			return program->own_network && program->leader ? program : NULL;
		if (read_identity(parent, &identity))
			return NULL;
		parent = identity.parent;
	}
	return NULL;
}

static struct program *program_create(struct plh_nuse *nuse, const struct identity *identity)
{
	const struct program *giver = network_giver(nuse, identity->parent);
	struct program *program = calloc(1, sizeof(*program));
	int pidfd;

	if (!program)
		return NULL;
	pidfd = (int)syscall(SYS_pidfd_open, identity->tgid, 0);
	if (pidfd < 0)
		goto fail;
	program->watch.ready = program_ready;
	if (watch_add(nuse, &program->watch, pidfd, EPOLLIN))
		goto fail;
	program->tgid = identity->tgid;
	program->uid = identity->uid;
	program->gid = identity->gid;
	table_add(&nuse->programs, &program->node, (uint64_t)program->tgid);
	nuse->stats.programs++;
	/* Now, since the other one may be gone when it makes its first call. */
	if (giver && !make_leader(nuse, program, giver->leader))
		program->own_network = true;
	return program;
fail:
	free(program);
	return NULL;
}

struct nuse_thread *thread_of(struct plh_nuse *nuse, pid_t tid)
{
	struct node *node = table_find(&nuse->threads, (uint64_t)tid);
	struct nuse_thread *thread;
	struct program *program;
	struct identity identity;
	char path[64];

	if (node)
		return (struct nuse_thread *)((char *)node - offsetof(struct nuse_thread, node));
	if (read_identity(tid, &identity))
		return NULL;
	program = program_by_pid(nuse, identity.tgid);
	if (!program)
		program = program_create(nuse, &identity);
	thread = program ? calloc(1, sizeof(*thread)) : NULL;
	if (!thread)
		return NULL;
	thread->watch.fd = -1;
	/* Its number may be another process's before the program ends (Linux 6.9 tells). */
	if (tid != identity.tgid) {
		int fd = (int)syscall(SYS_pidfd_open, tid, PIDFD_THREAD);

		thread->watch.ready = thread_ready;
		if (fd >= 0)
			watch_add(nuse, &thread->watch, fd, EPOLLIN);
	}
	snprintf(path, sizeof(path), "/proc/%d/fd", tid);
	thread->fd_folder = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	thread->tid = tid;
	thread->program = program;
	thread->next = program->threads;
	program->threads = thread;
	table_add(&nuse->threads, &thread->node, (uint64_t)tid);
	return thread;
}

static void end_one(struct node *node, void *opaque)
{
	program_ended(opaque, (struct program *)((char *)node - offsetof(struct program, node)));
}

void programs_free(struct plh_nuse *nuse)
{
	table_each(&nuse->programs, end_one, nuse);
	while (nuse->idle_local) {
		struct worker *worker = nuse->idle_local;

		nuse->idle_local = worker->next;
		worker_free(nuse, worker);
	}
}

uint32_t plh_nuse_programs(const struct plh_nuse *nuse, struct plh_nuse_program *programs,
			   uint32_t count)
{
	uint32_t found = 0;

	for (uint32_t i = 0; i < nuse->programs.size; i++) {
		for (struct node *node = nuse->programs.heads[i]; node; node = node->next) {
			const struct program *program =
				(struct program *)((char *)node - offsetof(struct program, node));
			uint32_t threads = 0;

			for (struct nuse_thread *thread = program->threads; thread;
			     thread = thread->next)
				threads++;
			if (found < count)
				programs[found] = (struct plh_nuse_program){
					.pid = program->tgid,
					.stack_pid = program->leader ? program->leader->task->pid :
								       0,
					.uid = program->uid,
					.threads = threads,
				};
			found++;
		}
	}
	return found;
}
