// SPDX-License-Identifier: GPL-2.0-only
#include <linux/futex.h>
#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lock.h"

/* How often in a row a thread takes the mutex before the lock is biased to it. */
#define STREAK_FOR_BIAS 256

static int membarrier(int command)
{
	return (int)syscall(SYS_membarrier, command, 0, 0);
}

static bool can_bias(void)
{
	static int state; /* 0: not asked yet, 1: yes, -1: no */
	int known = __atomic_load_n(&state, __ATOMIC_RELAXED);

	if (!known) {
		known = membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED) ? -1 : 1;
		__atomic_store_n(&state, known, __ATOMIC_RELAXED);
	}
	return known > 0;
}

int lock_create(struct lock *lock)
{
	*lock = (struct lock){ 0 };
	return -pthread_mutex_init(&lock->mutex, NULL);
}

void lock_destroy(struct lock *lock)
{
	pthread_mutex_destroy(&lock->mutex);
}

void lock_wake(struct lock_bias *bias)
{
	syscall(SYS_futex, &bias->inside, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

/* With the mutex: nobody else ends or begins a bias. */
static void end_bias(struct lock *lock)
{
	struct lock_bias *bias = lock->bias;

	__atomic_store_n(&lock->bias, NULL, __ATOMIC_RELAXED);
	/*
	 * From here on either its thread sees that the bias is over, or we see
	 * that it is inside.
	 */
	membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED);
	while (__atomic_load_n(&bias->inside, __ATOMIC_ACQUIRE))
		syscall(SYS_futex, &bias->inside, FUTEX_WAIT_PRIVATE, 1, NULL, NULL, 0);
}

static void begin_bias(struct lock *lock)
{
	struct lock_bias *bias = &lock->biases[lock->biases_used];

	if (lock->biases_used == LOCK_BIASES || !can_bias())
		return;
	lock->biases_used++;
	bias->thread = lock->latest;
	__atomic_store_n(&lock->bias, bias, __ATOMIC_RELEASE);
}

static void count_streak(struct lock *lock, pthread_t self)
{
	if (lock->latest != self) {
		lock->latest = self;
		lock->streak = 0;
	}
	/* It takes effect the next time: this time we have the mutex. */
	if (++lock->streak == STREAK_FOR_BIAS)
		begin_bias(lock);
}

void lock_take(struct lock *lock)
{
	pthread_t self = pthread_self();

	if (lock_is_mine(lock)) {
		lock->depth++;
		return;
	}
	if (lock_enter(lock))
		return;
	__atomic_add_fetch(&lock->contenders, 1, __ATOMIC_RELAXED);
	pthread_mutex_lock(&lock->mutex);
	if (__atomic_load_n(&lock->bias, __ATOMIC_RELAXED))
		end_bias(lock);
	__atomic_sub_fetch(&lock->contenders, 1, __ATOMIC_RELAXED);
	__atomic_store_n(&lock->owner, self, __ATOMIC_RELAXED);
	lock->depth = 1;
	lock->biased = false;
	count_streak(lock, self);
}

uint32_t lock_release_all(struct lock *lock)
{
	uint32_t depth = lock->depth;

	lock->depth = 1;
	lock_put(lock);
	return depth;
}

void lock_restore(struct lock *lock, uint32_t depth)
{
	lock_take(lock);
	lock->depth = depth;
}
