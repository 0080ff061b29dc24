// SPDX-License-Identifier: GPL-2.0-only
/*
 * After a fork the child's copy of a world shares descriptors with the parent,
 * and its lock may be held by a thread that does not exist.  A counter of the
 * process is all it takes: a world remembers the count it was made at, and
 * every entry of the API compares.
 */
#include "fork.h"

uint32_t fork_generation;
pthread_mutex_t process_mutex = PTHREAD_MUTEX_INITIALIZER;

static void before(void)
{
	pthread_mutex_lock(&process_mutex);
}

static void in_parent(void)
{
	pthread_mutex_unlock(&process_mutex);
}

static void in_child(void)
{
	fork_generation++;
	pthread_mutex_unlock(&process_mutex);
}

static void watch_once(void)
{
	pthread_atfork(before, in_parent, in_child);
}

void fork_watch(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, watch_once);
}
