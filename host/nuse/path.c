// SPDX-License-Identifier: GPL-2.0-only
/*
 * Which of a program's paths lead into the stack: its network's files below /proc and
 * /sys, the tun device, and what plh_nuse_redirect() names.  Paths are taken as text:
 * a symbolic link of the host into these places is not followed.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../error.h"
#include "nuse.h"

struct redirect {
	struct redirect *next;
	char *path, *text;
	size_t bytes;
};

int plh_nuse_redirect(struct plh_nuse *nuse, const char *path, const void *text, uint64_t bytes)
{
	struct redirect *redirect = calloc(1, sizeof(*redirect));

	if (redirect) {
		redirect->path = strdup(path);
		redirect->text = malloc(bytes + 1);
	}
	if (!redirect || !redirect->path || !redirect->text) {
		if (redirect) {
			free(redirect->path);
			free(redirect->text);
		}
		free(redirect);
		plh_set_error("There is no memory for a file that programs see.");
		return -ENOMEM;
	}
	memcpy(redirect->text, text, bytes);
	redirect->bytes = bytes;
	redirect->next = nuse->redirects;
	nuse->redirects = redirect;
	return 0;
}

void redirects_free(struct plh_nuse *nuse)
{
	while (nuse->redirects) {
		struct redirect *redirect = nuse->redirects;

		nuse->redirects = redirect->next;
		free(redirect->path);
		free(redirect->text);
		free(redirect);
	}
}

const char *redirect_text(const struct plh_nuse *nuse, const char *path, size_t *bytes)
{
	for (const struct redirect *redirect = nuse->redirects; redirect;
	     redirect = redirect->next) {
		if (strcmp(redirect->path, path))
			continue;
		*bytes = redirect->bytes;
		return redirect->text;
	}
	return NULL;
}

/* --- From what the program says to a whole path --- */

/* Take out empty parts, "." and ".."; the path is absolute. */
static void normalize(char *path)
{
	char *to = path;
	const char *from = path;

	while (*from) {
		const char *end;
		size_t length;

		while (*from == '/')
			from++;
		end = strchrnul(from, '/');
		length = (size_t)(end - from);
		if (length == 2 && from[0] == '.' && from[1] == '.') {
			while (to > path && *--to != '/')
				;
		} else if (length && !(length == 1 && *from == '.')) {
			*to++ = '/';
			memmove(to, from, length);
			to += length;
		}
		from = end;
	}
	if (to == path)
		*to++ = '/';
	*to = 0;
}

static ssize_t folder_of(const struct request *request, int dirfd, char *folder, size_t bytes)
{
	char link[64];
	ssize_t length;

	if (dirfd == AT_FDCWD)
		snprintf(link, sizeof(link), "/proc/%d/cwd", request->thread->tid);
	else
		snprintf(link, sizeof(link), "/proc/%d/fd/%d", request->thread->tid, dirfd);
	length = readlink(link, folder, bytes - 1);
	if (length < 0)
		return -ENOENT;
	folder[length] = 0;
	return length;
}

static bool below(const char *path, const char *folder)
{
	size_t length = strlen(folder);

	return !strncmp(path, folder, length) && (!path[length] || path[length] == '/');
}

/* After "/self", "/thread-self" or "/12"; NULL. */
static const char *after_process(const char *path)
{
	size_t digits = strspn(path + (*path == '/'), "0123456789");

	if (below(path, "/self"))
		return path + strlen("/self");
	if (below(path, "/thread-self"))
		return path + strlen("/thread-self");
	return *path == '/' && digits && (!path[1 + digits] || path[1 + digits] == '/') ?
		       path + 1 + digits :
		       NULL;
}

/*
 * "/net", "/self/net", "/12/task/13/ns/net": what follows the process; NULL if that is
 * not the network.  pid: of the process if it is named, else 0.
 */
static const char *after_proc(const char *path, int *pid)
{
	const char *process = after_process(path);

	*pid = process ? atoi(path + 1) : 0;
	if (process)
		path = process;
	if (process && below(path, "/task")) {
		path = after_process(path + strlen("/task"));
		if (!path)
			return NULL;
	}
	return below(path, "/net") || (process && !strcmp(path, "/ns/net")) ? path : NULL;
}

/* Names of network namespaces, see ip-netns(8): they are the stack's own. */
static const char *after_names(const char *path)
{
	if (below(path, "/var"))
		path += strlen("/var");
	return below(path, "/run/netns") ? path : NULL;
}

static bool is_stacks(const char *path)
{
	static const char *const folders[] = {
		"/proc/sys/net",
		"/sys/class/net",
		"/sys/devices/virtual/net",
		"/dev/net/tun",
	};

	for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++)
		if (below(path, folders[i]))
			return true;
	return false;
}

/* Of a program that is named by its process id, else of the one that asks. */
static int stack_pid_of(struct plh_nuse *nuse, struct program *program, int pid)
{
	const struct node *node = pid ? table_find(&nuse->programs, (uint64_t)pid) : NULL;

	if (node)
		program = (struct program *)((char *)node - offsetof(struct program, node));
	return program_stack_pid(nuse, program);
}

enum place path_of(struct plh_nuse *nuse, struct request *request, int dirfd, uint64_t remote,
		   char *path)
{
	char text[PATH_MAX], folder[PATH_MAX];
	ssize_t bytes = memory_read_text(request, text, remote, sizeof(text));
	const char *rest;
	size_t size;
	int pid;

	/* Whatever is wrong with it, the host's kernel says so. */
	if (bytes <= 0)
		return PLACE_HOST;
	if (text[0] == '/') {
		memcpy(path, text, (size_t)bytes + 1);
	} else {
		if (folder_of(request, dirfd, folder, sizeof(folder)) < 0 || folder[0] != '/' ||
		    snprintf(path, PATH_MAX, "%s/%s", folder, text) >= PATH_MAX)
			return PLACE_HOST;
	}
	normalize(path);
	/* A folder of ours, see tree.c, is one of the stack's. */
	if (nuse->tree[0] && below(path, nuse->tree)) {
		rest = path + strlen(nuse->tree);
		memmove(path, rest, strlen(rest) + 1);
	}
	if (redirect_text(nuse, path, &size))
		return PLACE_REDIRECT;
	rest = after_names(path);
	if (rest) {
		memmove(path, rest, strlen(rest) + 1);
		return PLACE_STACK;
	}
	rest = below(path, "/proc") ? after_proc(path + strlen("/proc"), &pid) : NULL;
	if (rest) {
		char own[PATH_MAX + 32];

		pid = stack_pid_of(nuse, request->thread->program, pid);
		if (snprintf(own, sizeof(own), "/proc/%d%s", pid, rest) >= PATH_MAX)
			return PLACE_HOST;
		strcpy(path, own);
		return PLACE_STACK;
	}
	return is_stacks(path) ? PLACE_STACK : PLACE_HOST;
}
