// SPDX-License-Identifier: GPL-2.0-only
/*
 * Which epoll of a program is which, and how long it lives.  Epolls of the host have no
 * inode of their own.  A descriptor's number is remembered and checked by kcmp(2); one
 * that is not known yet (after fork, dup, SCM_RIGHTS) shows the marker in its fdinfo.
 * That an epoll was closed by all nobody tells: so all epolls are registered in one more,
 * whose fdinfo lists those that live.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/kcmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "epoll.h"
#include "waiting.h"

/* A descriptor of a program that stood for an epoll when it was last looked at. */
struct epoll_name {
	struct node node; /* nuse->epoll_names, by process and number */
	struct epoll *epoll;
};

static struct epoll *epoll_of_node(struct node *node)
{
	return (struct epoll *)((char *)node - offsetof(struct epoll, node));
}

static struct epoll_name *name_of_node(struct node *node)
{
	return (struct epoll_name *)((char *)node - offsetof(struct epoll_name, node));
}

static uint64_t name_key(pid_t tgid, int fd)
{
	return (uint64_t)tgid << 32 | (uint32_t)fd;
}

/* --- The end of epolls --- */

static void drop_entry(struct node *node, void *opaque)
{
	struct epoll_entry *entry =
		(struct epoll_entry *)((char *)node - offsetof(struct epoll_entry, node));

	epoll_entry_gone(opaque, entry);
}

struct name_search {
	struct plh_nuse *nuse;
	const struct epoll *epoll; /* names of it; NULL: of the process */
	pid_t tgid;
	void (*found)(struct plh_nuse *nuse, struct epoll_name *name);
};

static void look_at_name(struct node *node, void *opaque)
{
	const struct name_search *search = opaque;
	struct epoll_name *name = name_of_node(node);

	if (search->epoll ? name->epoll == search->epoll :
			    node->key >> 32 == (uint64_t)search->tgid)
		search->found(search->nuse, name);
}

static void forget_name(struct plh_nuse *nuse, struct epoll_name *name)
{
	table_remove(&nuse->epoll_names, &name->node);
	free(name);
}

static void epoll_free(struct plh_nuse *nuse, struct epoll *epoll)
{
	struct name_search names = { nuse, epoll, 0, forget_name };

	table_each(&nuse->epoll_names, look_at_name, &names);
	if (epoll->entries.heads)
		table_each(&epoll->entries, drop_entry, nuse);
	while (epoll->registered)
		epoll_entry_gone(nuse, epoll->registered);
	table_free(&epoll->entries);
	table_remove(&nuse->epolls, &epoll->node);
	if (epoll->stack_fd >= 0)
		stack_call(nuse, SYS_close, (uint64_t)epoll->stack_fd, 0, 0, 0, 0, 0);
	if (epoll->host_fd >= 0)
		close(epoll->host_fd);
	if (epoll->marker_fd >= 0)
		close(epoll->marker_fd);
	free(epoll->kept);
	free(epoll);
}

/* Calls fn for each registered file that fdinfo shows; false if there is no such file. */
static bool each_registered(const char *path,
			    void (*fn)(uint64_t data, uint64_t inode, uint64_t device,
				       void *opaque),
			    void *opaque)
{
	unsigned long long data, inode, device;
	FILE *file = fopen(path, "re");
	char line[256];

	if (!file)
		return false;
	while (fgets(line, sizeof(line), file))
		if (sscanf(line, "tfd: %*d events: %*x data: %llx pos:%*i ino:%llx sdev:%llx",
			   &data, &inode, &device) == 3)
			fn(data, inode, device, opaque);
	fclose(file);
	return true;
}

static void mark_alive(uint64_t data, uint64_t inode, uint64_t device, void *opaque)
{
	struct plh_nuse *nuse = opaque;
	struct node *node = table_find(&nuse->epolls, data);

	(void)inode;
	(void)device;
	if (node)
		epoll_of_node(node)->alive = true;
}

static void let_go(struct node *node, void *opaque)
{
	struct epoll *epoll = epoll_of_node(node);

	(void)opaque;
	epoll->alive = epoll->waiters != NULL;
	if (epoll->alive || epoll->host_fd < 0)
		return;
	/* If this was the last descriptor, it is not listed any more. */
	close(epoll->host_fd);
	epoll->host_fd = -1;
}

static void free_dead(struct node *node, void *opaque)
{
	if (!epoll_of_node(node)->alive)
		epoll_free(opaque, epoll_of_node(node));
}

static void look_for_dead(struct plh_nuse *nuse)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", nuse->epolls_fd);
	table_each(&nuse->epolls, let_go, NULL);
	if (each_registered(path, mark_alive, nuse))
		table_each(&nuse->epolls, free_dead, nuse);
}

static void note_name(struct plh_nuse *nuse, struct epoll_name *name)
{
	nuse->epolls_stale = true;
	forget_name(nuse, name);
}

void epolls_program_ended(struct plh_nuse *nuse, pid_t tgid)
{
	struct name_search names = { nuse, NULL, tgid, note_name };

	nuse->epolls_stale = false;
	table_each(&nuse->epoll_names, look_at_name, &names);
	if (nuse->epolls_stale)
		look_for_dead(nuse);
}

static void free_one(struct node *node, void *opaque)
{
	epoll_free(opaque, epoll_of_node(node));
}

void epolls_free(struct plh_nuse *nuse)
{
	table_each(&nuse->epolls, free_one, nuse);
	table_free(&nuse->epolls);
	table_free(&nuse->epoll_names);
	if (nuse->epolls_fd >= 0)
		close(nuse->epolls_fd);
}

int epolls_init(struct plh_nuse *nuse)
{
	nuse->epolls_fd = epoll_create1(EPOLL_CLOEXEC);
	if (nuse->epolls_fd < 0)
		return -errno;
	return table_init(&nuse->epolls) || table_init(&nuse->epoll_names) ? -ENOMEM : 0;
}

/* --- Which is which --- */

struct marker_search {
	struct plh_nuse *nuse;
	struct epoll *found;
};

static void look_at_marker(uint64_t data, uint64_t inode, uint64_t device, void *opaque)
{
	struct marker_search *search = opaque;
	struct node *node = table_find(&search->nuse->epolls, inode);

	(void)data;
	if (node && epoll_of_node(node)->marker_device == device)
		search->found = epoll_of_node(node);
}

static struct epoll *find_marker(struct plh_nuse *nuse, const struct request *request, int fd)
{
	struct marker_search search = { nuse, NULL };
	char path[64];

	if (!nuse->epolls.used)
		return NULL;
	snprintf(path, sizeof(path), "/proc/%d/fdinfo/%d", request->thread->tid, fd);
	each_registered(path, look_at_marker, &search);
	return search.found;
}

static bool still_names(struct plh_nuse *nuse, const struct request *request, int fd,
			const struct epoll *epoll)
{
	long order;

	if (epoll->host_fd < 0)
		return false;
	order = syscall(SYS_kcmp, request->thread->tid, getpid(), KCMP_FILE, fd, epoll->host_fd);
	/* Not every kernel has it; an empty number is EBADF. */
	if (order < 0 && errno != EBADF)
		return find_marker(nuse, request, fd) == epoll;
	return !order;
}

static int place_marker(struct plh_nuse *nuse, struct epoll *epoll)
{
	struct epoll_event nothing = { 0 };
	struct stat status;

	epoll->marker_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (epoll->marker_fd < 0 || fstat(epoll->marker_fd, &status))
		return -errno;
	/* As the kernel itself keeps device numbers. */
	epoll->marker_device = (uint64_t)major(status.st_dev) << 20 | minor(status.st_dev);
	if (epoll_ctl(epoll->host_fd, EPOLL_CTL_ADD, epoll->marker_fd, &nothing))
		return -errno;
	table_add(&nuse->epolls, &epoll->node, status.st_ino);
	nothing.data.u64 = status.st_ino;
	if (!epoll_ctl(nuse->epolls_fd, EPOLL_CTL_ADD, epoll->host_fd, &nothing))
		return 0;
	return -errno;
}

static struct epoll *epoll_create_for(struct plh_nuse *nuse, int host_fd)
{
	struct epoll *epoll = calloc(1, sizeof(*epoll));
	int error;

	if (!epoll) {
		close(host_fd);
		errno = ENOMEM;
		return NULL;
	}
	epoll->host_fd = host_fd;
	epoll->marker_fd = epoll->stack_fd = -1;
	error = place_marker(nuse, epoll);
	if (!error)
		return epoll;
	epoll_free(nuse, epoll);
	errno = -error;
	return NULL;
}

static void remember(struct plh_nuse *nuse, uint64_t key, struct epoll *epoll)
{
	struct epoll_name *name = malloc(sizeof(*name));

	/* Without one it is looked for again. */
	if (!name)
		return;
	name->epoll = epoll;
	table_add(&nuse->epoll_names, &name->node, key);
}

struct epoll *epoll_of(struct plh_nuse *nuse, const struct request *request, int fd, bool create)
{
	const uint64_t key = name_key(request->thread->program->tgid, fd);
	struct node *node = table_find(&nuse->epoll_names, key);
	struct epoll *epoll;
	int host_fd;

	if (node) {
		epoll = name_of_node(node)->epoll;
		if (still_names(nuse, request, fd, epoll))
			return epoll;
		forget_name(nuse, name_of_node(node));
	}
	if (fd_kind(nuse, request->thread, fd, NULL) != FD_EPOLL) {
		errno = EINVAL;
		return NULL;
	}
	/* A number that is another's now, or far more epolls than there were. */
	if (node || nuse->epolls.used > 2 * nuse->epolls_kept + 16) {
		look_for_dead(nuse);
		nuse->epolls_kept = nuse->epolls.used;
	}
	epoll = find_marker(nuse, request, fd);
	if (!epoll && !create) {
		errno = EINVAL;
		return NULL;
	}
	if (!epoll || epoll->host_fd < 0) {
		host_fd = wait_duplicate(request, fd);
		if (host_fd < 0) {
			errno = host_fd == -EMFILE ? ENOMEM : -host_fd;
			return NULL;
		}
		if (!epoll)
			epoll = epoll_create_for(nuse, host_fd);
		else
			epoll->host_fd = host_fd;
	}
	if (epoll)
		remember(nuse, key, epoll);
	return epoll;
}
