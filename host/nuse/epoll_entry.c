// SPDX-License-Identifier: GPL-2.0-only
/*
 * What is registered in the stack's part of an epoll.  Linux tells entries apart by file
 * and number; a second number of a file is a second descriptor on the stack.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/syscall.h>

#include "epoll.h"

#define NUMBER_BITS 24

static uint64_t entry_key(uint64_t what, int number)
{
	return what << NUMBER_BITS ^ (uint32_t)number;
}

int epoll_need_stack(struct plh_nuse *nuse, struct epoll *epoll, bool *made)
{
	int64_t ret;

	*made = false;
	if (epoll->stack_fd >= 0)
		return 0;
	if (!epoll->entries.heads && table_init(&epoll->entries))
		return -ENOMEM;
	ret = stack_call(nuse, SYS_epoll_create1, 0, 0, 0, 0, 0, 0);
	if (ret < 0)
		return (int)ret;
	epoll->stack_fd = (int)ret;
	*made = true;
	return 0;
}

struct epoll_entry *epoll_find(const struct epoll *epoll, uint64_t what, int number)
{
	struct node *node =
		epoll->entries.heads ? table_find(&epoll->entries, entry_key(what, number)) : NULL;

	return node ? (struct epoll_entry *)((char *)node - offsetof(struct epoll_entry, node)) :
		      NULL;
}

void epoll_entry_gone(struct plh_nuse *nuse, struct epoll_entry *entry)
{
	table_remove(&entry->epoll->entries, &entry->node);
	*entry->link = entry->next;
	if (entry->next)
		entry->next->link = entry->link;
	if (entry->own_fd)
		stack_call(nuse, SYS_close, (uint64_t)entry->stack_fd, 0, 0, 0, 0, 0);
	free(entry);
}

static int control(struct plh_nuse *nuse, const struct epoll *epoll, int op, int stack_fd,
		   const struct epoll_event *event)
{
	return (int)stack_call(nuse, SYS_epoll_ctl, (uint64_t)epoll->stack_fd, (uint64_t)op,
			       (uint64_t)stack_fd, (uint64_t)event, 0, 0);
}

static bool is_in_use(const struct epoll *epoll, const struct epoll_entry *list, int stack_fd)
{
	for (; list; list = list->next)
		if (list->epoll == epoll && list->stack_fd == stack_fd)
			return true;
	return false;
}

int epoll_add(struct plh_nuse *nuse, struct epoll *epoll, uint64_t what, int number, int stack_fd,
	      struct epoll_entry **list, const struct epoll_event *event)
{
	struct epoll_entry *entry = calloc(1, sizeof(*entry));
	int error = -ENOMEM;

	if (!entry)
		return error;
	entry->own_fd = is_in_use(epoll, *list, stack_fd);
	if (entry->own_fd)
		stack_fd = (int)stack_call(nuse, SYS_dup, (uint64_t)stack_fd, 0, 0, 0, 0, 0);
	error = stack_fd < 0 ? stack_fd : control(nuse, epoll, EPOLL_CTL_ADD, stack_fd, event);
	if (error) {
		if (entry->own_fd && stack_fd >= 0)
			stack_call(nuse, SYS_close, (uint64_t)stack_fd, 0, 0, 0, 0, 0);
		free(entry);
		return error;
	}
	entry->epoll = epoll;
	entry->event = *event;
	entry->stack_fd = stack_fd;
	entry->next = *list;
	entry->link = list;
	if (entry->next)
		entry->next->link = &entry->next;
	*list = entry;
	table_add(&epoll->entries, &entry->node, entry_key(what, number));
	return 0;
}

int epoll_modify(struct plh_nuse *nuse, struct epoll_entry *entry, const struct epoll_event *event)
{
	int error = control(nuse, entry->epoll, EPOLL_CTL_MOD, entry->stack_fd, event);

	if (!error)
		entry->event = *event;
	return error;
}

int epoll_delete(struct plh_nuse *nuse, struct epoll_entry *entry)
{
	int error = control(nuse, entry->epoll, EPOLL_CTL_DEL, entry->stack_fd, NULL);

	epoll_entry_gone(nuse, entry);
	return error;
}

struct rearm {
	struct plh_nuse *nuse;
	const struct epoll_event *events;
	uint32_t count;
};

static void rearm_one(struct node *node, void *opaque)
{
	struct epoll_entry *entry =
		(struct epoll_entry *)((char *)node - offsetof(struct epoll_entry, node));
	const struct rearm *rearm = opaque;
	bool told = false;

	for (uint32_t i = 0; i < rearm->count; i++)
		told = told || rearm->events[i].data.u64 == entry->event.data.u64;
	if (!told || !(entry->event.events & (EPOLLET | EPOLLONESHOT)))
		return;
	/* Whoever registers anew hears of what is ready; exclusive ones cannot be modified. */
	control(rearm->nuse, entry->epoll, EPOLL_CTL_DEL, entry->stack_fd, NULL);
	control(rearm->nuse, entry->epoll, EPOLL_CTL_ADD, entry->stack_fd, &entry->event);
}

void epoll_rearm(struct plh_nuse *nuse, struct epoll *epoll, const struct epoll_event *events,
		 uint32_t count)
{
	struct rearm rearm = { nuse, events, count };

	if (count)
		table_each(&epoll->entries, rearm_one, &rearm);
}
