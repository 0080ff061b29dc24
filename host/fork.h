/* SPDX-License-Identifier: GPL-2.0-only */
/* A forked child has copies of its parent's kernels, which it must not run. */
#ifndef PLH_FORK_H
#define PLH_FORK_H

#include <pthread.h>
#include <stdint.h>

#pragma GCC visibility push(hidden)

/* Counts the forks between the first process and this one. */
extern uint32_t fork_generation;

/* Watch forks from now on; may be called any number of times. */
void fork_watch(void);

/* Protects what is shared by all worlds; no thread holds it across a fork. */
extern pthread_mutex_t process_mutex;

#pragma GCC visibility pop

#endif
