/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The lock of a world.  It nests, because a callback of the caller's (a frame
 * that leaves, a line of log) may use the API again.
 *
 * A system call of a kernel takes about as long as two atomic instructions, so
 * the thread that uses a world most is spared them: while the lock is biased to
 * it, it says "inside" with a plain store.  Another thread that wants in takes
 * the bias away and makes the processor of the first put its stores in order
 * (membarrier(2)); from then on a mutex serves both, until one of them has had
 * the lock to itself for long.  A bias is never given twice, so that a thread
 * that was interrupted in the middle of lock_enter() finds its own word again.
 */
#ifndef PLH_LOCK_H
#define PLH_LOCK_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#pragma GCC visibility push(hidden)

#define LOCK_BIASES 16

struct lock_bias {
	pthread_t thread;
	uint32_t inside; /* the thread has the lock; a futex for the one that waits */
};

struct lock {
	pthread_t owner; /* 0: nobody */
	uint32_t depth;
	bool biased; /* the owner has it by its bias, not by the mutex */
	struct lock_bias *bias; /* or NULL */
	uint32_t contenders; /* threads that want in; atomic */

	pthread_mutex_t mutex;
	pthread_t latest; /* took the mutex last, so many times in a row: */
	uint32_t streak;
	uint32_t biases_used;
	struct lock_bias biases[LOCK_BIASES];
};

int lock_create(struct lock *lock);
void lock_destroy(struct lock *lock);
void lock_take(struct lock *lock);
/* The lock was taken by the bias, which somebody wants to have ended. */
void lock_wake(struct lock_bias *bias);
/* Give it up, however deep it is nested, in order to sleep; returns the depth. */
uint32_t lock_release_all(struct lock *lock);
void lock_restore(struct lock *lock, uint32_t depth);

/* Only the owner itself can find its own name here, so no order is needed. */
static inline bool lock_is_mine(const struct lock *lock)
{
	return __atomic_load_n(&lock->owner, __ATOMIC_RELAXED) == pthread_self();
}

/* Take it if the bias says so; false: nothing has happened, or it is mine already. */
static inline bool lock_enter(struct lock *lock)
{
	struct lock_bias *bias = __atomic_load_n(&lock->bias, __ATOMIC_ACQUIRE);

	if (!bias || bias->thread != pthread_self() ||
	    __atomic_load_n(&lock->owner, __ATOMIC_RELAXED))
		return false;
	__atomic_store_n(&bias->inside, 1, __ATOMIC_RELAXED);
	__atomic_signal_fence(__ATOMIC_SEQ_CST); /* the other side's membarrier() pairs */
	if (__builtin_expect(__atomic_load_n(&lock->bias, __ATOMIC_ACQUIRE) != bias, 0)) {
		__atomic_store_n(&bias->inside, 0, __ATOMIC_RELEASE);
		lock_wake(bias);
		return false;
	}
	__atomic_store_n(&lock->owner, bias->thread, __ATOMIC_RELAXED);
	lock->depth = 1;
	lock->biased = true;
	return true;
}

static inline void lock_leave_biased(struct lock *lock)
{
	struct lock_bias *bias = __atomic_load_n(&lock->bias, __ATOMIC_RELAXED);

	/* Whoever ends the bias waits for inside to become 0: its pointer is ours. */
	if (!bias)
		bias = &lock->biases[lock->biases_used - 1];
	__atomic_store_n(&lock->owner, 0, __ATOMIC_RELAXED);
	__atomic_store_n(&bias->inside, 0, __ATOMIC_RELEASE);
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	if (__builtin_expect(__atomic_load_n(&lock->bias, __ATOMIC_RELAXED) != bias, 0))
		lock_wake(bias);
}

static inline void lock_put(struct lock *lock)
{
	if (--lock->depth)
		return;
	if (lock->biased) {
		lock_leave_biased(lock);
		return;
	}
	__atomic_store_n(&lock->owner, 0, __ATOMIC_RELAXED);
	pthread_mutex_unlock(&lock->mutex);
}

#pragma GCC visibility pop

#endif
