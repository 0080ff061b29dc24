// SPDX-License-Identifier: GPL-2.0-only
/*
 * What an application of the box does with its sockets, at the speed of C: a
 * shared library for box.py and bulk.py.  The same loops run on our stack, through plh_call6(),
 * and on the host's own, through syscall(2).
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "traffic.h"

#define MOST_BATCH 64

/* The shape of plh_call6(). */
typedef int64_t call_function(void *kernel, void *task, int *status, uint64_t nr, uint64_t a0,
			      uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4, uint64_t a5);

struct sent {
	uint64_t sent, refused;
	double seconds;
	int64_t error; /* -errno that ended it early, or 0 */
};

struct asked {
	uint64_t lost;
	double min_us, p50_us, p90_us, p99_us, max_us;
};

int64_t host_call(void *kernel, void *task, int *status, uint64_t nr, uint64_t a0, uint64_t a1,
		  uint64_t a2, uint64_t a3, uint64_t a4, uint64_t a5);
void send_loop(call_function *call, void *kernel, void *task, int fd, uint32_t packet_bytes,
	       uint32_t batch, uint64_t ms, struct sent *result);
void ask_loop(call_function *call, void *kernel, void *task, int fd, uint32_t packet_bytes,
	      uint64_t count, uint64_t gap_us, struct asked *result);

struct moved {
	uint64_t bytes;
	double seconds;
	int64_t error; /* -errno, or 0 */
};

#define CHUNK_BYTES (256u << 10)

void give_loop(call_function *call, void *kernel, void *task, int fd, uint64_t ms,
	       struct moved *result);
void take_loop(call_function *call, void *kernel, void *task, int fd, struct moved *result);

static uint64_t clock_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

int64_t host_call(void *kernel, void *task, int *status, uint64_t nr, uint64_t a0, uint64_t a1,
		  uint64_t a2, uint64_t a3, uint64_t a4, uint64_t a5)
{
	long result = syscall((long)nr, a0, a1, a2, a3, a4, a5);

	(void)kernel;
	(void)task;
	(void)status;
	return result < 0 ? -errno : result;
}

/* A connected socket; batch 1: send(), else sendmmsg(). */
void send_loop(call_function *call, void *kernel, void *task, int fd, uint32_t packet_bytes,
	       uint32_t batch, uint64_t ms, struct sent *result)
{
	static uint8_t payload[1500];
	struct mmsghdr messages[MOST_BATCH];
	struct iovec iov = { payload, packet_bytes - sizeof(struct iphdr) - sizeof(struct udphdr) };
	uint64_t start_ns = clock_ns(), now_ns = start_ns;
	uint64_t f = (uint64_t)fd;
	int status = 0;

	memset(result, 0, sizeof(*result));
	memset(messages, 0, sizeof(messages));
	for (int i = 0; i < MOST_BATCH; i++) {
		messages[i].msg_hdr.msg_iov = &iov;
		messages[i].msg_hdr.msg_iovlen = 1;
	}
	while (now_ns - start_ns < ms * 1000000) {
		int64_t sent;

		if (batch > 1) {
			sent = call(kernel, task, &status, SYS_sendmmsg, f, (uint64_t)messages,
				    batch, 0, 0, 0);
		} else {
			sent = call(kernel, task, &status, SYS_sendto, f, (uint64_t)payload,
				    iov.iov_len, 0, 0, 0);
			sent = sent > 0 ? 1 : sent;
		}
		if (status) {
			result->error = -EIO;
			break;
		}
		if (sent > 0) {
			result->sent += (uint64_t)sent;
		} else if (sent == -ENOBUFS || sent == -EAGAIN || sent == -ECONNREFUSED) {
			result->refused++;
		} else {
			result->error = sent;
			break;
		}
		now_ns = clock_ns();
	}
	result->seconds = (double)(clock_ns() - start_ns) / 1e9;
}

/* A connected socket with SO_RCVTIMEO; somebody sends each datagram back. */
void ask_loop(call_function *call, void *kernel, void *task, int fd, uint32_t packet_bytes,
	      uint64_t count, uint64_t gap_us, struct asked *result)
{
	static struct arrivals answers;
	static uint8_t payload[1500], answer[1500];
	uint64_t bytes = packet_bytes - sizeof(struct iphdr) - sizeof(struct udphdr);
	int status = 0;

	memset(result, 0, sizeof(*result));
	memset(&answers, 0, sizeof(answers));
	for (uint64_t i = 0; i < count; i++) {
		const struct timespec gap = { 0, (long)gap_us * 1000 };
		uint64_t start_ns = clock_ns();
		int64_t got;

		memcpy(payload, &i, sizeof(i));
		call(kernel, task, &status, SYS_sendto, (uint64_t)fd, (uint64_t)payload, bytes, 0,
		     0, 0);
		do /* an answer that came too late is not this one */
			got = call(kernel, task, &status, SYS_recvfrom, (uint64_t)fd,
				   (uint64_t)answer, sizeof(answer), 0, 0, 0);
		while (!status && got > 0 && memcmp(answer, payload, sizeof(i)));
		if (status || got <= 0)
			result->lost++;
		else
			arrivals_add_delay(&answers, clock_ns() - start_ns);
		status = 0;
		nanosleep(&gap, NULL);
	}
	result->min_us = (double)arrivals_delay(&answers, 0.0) / 1e3;
	result->p50_us = (double)arrivals_delay(&answers, 0.5) / 1e3;
	result->p90_us = (double)arrivals_delay(&answers, 0.9) / 1e3;
	result->p99_us = (double)arrivals_delay(&answers, 0.99) / 1e3;
	result->max_us = (double)arrivals_delay(&answers, 1.0) / 1e3;
}

/* --- Bulk TCP, on sockets with SO_RCVTIMEO and SO_SNDTIMEO --- */

void give_loop(call_function *call, void *kernel, void *task, int fd, uint64_t ms,
	       struct moved *result)
{
	static uint8_t data[CHUNK_BYTES];
	uint64_t start_ns = clock_ns();
	int status = 0;

	memset(result, 0, sizeof(*result));
	while (clock_ns() - start_ns < ms * 1000000) {
		int64_t sent = call(kernel, task, &status, SYS_sendto, (uint64_t)fd, (uint64_t)data,
				    sizeof(data), MSG_NOSIGNAL, 0, 0);

		if (status || sent < 0) {
			result->error = status ? -EIO : sent;
			break;
		}
		result->bytes += (uint64_t)sent;
	}
	result->seconds = (double)(clock_ns() - start_ns) / 1e9;
}

/* Until the other side closes; time runs from the first bytes to the last. */
void take_loop(call_function *call, void *kernel, void *task, int fd, struct moved *result)
{
	static uint8_t room[CHUNK_BYTES];
	uint64_t start_ns = 0, end_ns = 0;
	int status = 0;

	memset(result, 0, sizeof(*result));
	for (;;) {
		int64_t got = call(kernel, task, &status, SYS_recvfrom, (uint64_t)fd,
				   (uint64_t)room, sizeof(room), 0, 0, 0);

		if (status || got < 0)
			result->error = status ? -EIO : got;
		if (status || got <= 0)
			break;
		end_ns = clock_ns();
		if (start_ns)
			result->bytes += (uint64_t)got;
		else
			start_ns = end_ns;
	}
	result->seconds = (double)(end_ns - start_ns) / 1e9;
}
