// SPDX-License-Identifier: GPL-2.0-only
/*
 * Data: what receives must not take anything from the stack while a signal may have
 * taken its program away.  So the stack is never asked to block: it is polled, and
 * asked for data only when the program is known to wait.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <unistd.h>

#include "waiting.h"

#ifndef RWF_NOWAIT
#define RWF_NOWAIT 8
#endif

/* --- Waiting without taking --- */

struct poll_state {
	struct pollfd fd;
	void (*again)(struct plh_nuse *nuse, struct request *request);
};

static void polled(struct plh_nuse *nuse, struct request *request, int64_t ret)
{
	struct poll_state *state = request->state;
	void (*again)(struct plh_nuse *, struct request *) = state->again;

	if (ret < 0) {
		request_answer(nuse, request, ret);
	} else if (!ret) {
		request_answer(nuse, request, -EAGAIN);
	} else if (!request_valid(nuse, request)) {
		/* Forget it; the same call again begins anew. */
		request_abandon(nuse, request);
	} else {
		free(request->state);
		request->state = NULL;
		again(nuse, request);
	}
}

int object_timeout_ms(struct plh_nuse *nuse, const struct object *object, int option)
{
	struct timeval timeout = { 0 };
	uint32_t bytes = sizeof(timeout);

	if (object->kind != OBJECT_SOCKET ||
	    stack_call(nuse, SYS_getsockopt, (uint64_t)object->stack_fd, SOL_SOCKET,
		       (uint64_t)option, (uint64_t)&timeout, (uint64_t)&bytes, 0) ||
	    (!timeout.tv_sec && !timeout.tv_usec))
		return -1;
	if (timeout.tv_sec > 2000000)
		return -1;
	return (int)(timeout.tv_sec * 1000 + (timeout.tv_usec + 999) / 1000);
}

void wait_for_object(struct plh_nuse *nuse, struct request *request, short events, int option,
		     void (*again)(struct plh_nuse *nuse, struct request *request))
{
	struct poll_state *state = calloc(1, sizeof(*state));
	uint64_t args[6] = { (uint64_t)&state->fd, 1 };

	if (!state) {
		request_answer(nuse, request, -ENOMEM);
		return;
	}
	state->fd.fd = request->object->stack_fd;
	state->fd.events = events;
	state->again = again;
	request->state = state;
	args[2] = (uint64_t)object_timeout_ms(nuse, request->object, option);
	request_call_local(nuse, request, SYS_poll, args, polled);
}

/* --- Receiving --- */

static void receive_again(struct plh_nuse *nuse, struct request *request);

/* What these ask for is there or not. */
#define NEVER_WAITS (MSG_DONTWAIT | MSG_ERRQUEUE | MSG_OOB)

static bool may_wait(const struct request *request)
{
	const __u64 *args = request->data.args;

	if (request->object->nonblock || request->object->kind != OBJECT_SOCKET)
		return false;
	switch (request->data.nr) {
	case SYS_recvfrom:
	case SYS_recvmmsg:
		return !(args[3] & NEVER_WAITS);
	case SYS_recvmsg:
		return !(args[2] & NEVER_WAITS);
	}
	return true;
}

static void received(struct plh_nuse *nuse, struct request *request, int64_t ret)
{
	if (ret != -EAGAIN || !may_wait(request))
		request_answer(nuse, request, ret);
	else if (++request->rounds > WAIT_ROUNDS)
		/* It polls readable and has nothing: let the stack itself wait. */
		request_call(nuse, request, (uint64_t)request->data.nr, request->args,
			     request_answer);
	else
		wait_for_object(nuse, request, POLLIN, SO_RCVTIMEO, receive_again);
}

static void receive_again(struct plh_nuse *nuse, struct request *request)
{
	uint64_t args[6];
	uint64_t nr = (uint64_t)request->data.nr;

	memcpy(args, request->args, sizeof(args));
	if (request->object->kind == OBJECT_SOCKET) {
		switch (nr) {
		case SYS_recvfrom:
		case SYS_recvmmsg:
			args[3] |= MSG_DONTWAIT;
			break;
		case SYS_recvmsg:
			args[2] |= MSG_DONTWAIT;
			break;
		case SYS_read:
			/* Nothing to read never waits, unlike recv(2) of nothing. */
			if (args[2]) {
				nr = SYS_recvfrom;
				args[3] = MSG_DONTWAIT;
				args[4] = args[5] = 0;
			}
			break;
		case SYS_readv:
			nr = SYS_preadv2;
			args[3] = args[4] = ~0ull; /* no position */
			args[5] = RWF_NOWAIT;
			break;
		}
	}
	request_call(nuse, request, nr, args, received);
}

/* Of a known length, and not in one piece: the stack waits, and a signal may lose some. */
static bool wants_all(const struct request *request)
{
	const __u64 *args = request->data.args;

	return request->data.nr == SYS_recvmmsg ||
	       (request->data.nr == SYS_recvfrom && args[3] & MSG_WAITALL) ||
	       (request->data.nr == SYS_recvmsg && args[2] & MSG_WAITALL);
}

void call_receive(struct plh_nuse *nuse, struct request *request)
{
	request_hold(request, object_of(nuse, request->thread, (int)request->args[0]));
	if (!request->object) {
		request_pass(nuse, request);
		return;
	}
	request->args[0] = (uint64_t)request->object->stack_fd;
	request->keeps = wants_all(request);
	if (request->keeps)
		request_call(nuse, request, (uint64_t)request->data.nr, request->args,
			     request_answer);
	else
		receive_again(nuse, request);
}

/* --- Sending --- */

static bool wants_signal(const struct request *request)
{
	const __u64 *args = request->data.args;

	switch (request->data.nr) {
	case SYS_sendto:
	case SYS_sendmmsg:
		return !(args[3] & MSG_NOSIGNAL);
	case SYS_sendmsg:
		return !(args[2] & MSG_NOSIGNAL);
	}
	return true;
}

void answer_sent(struct plh_nuse *nuse, struct request *request, int64_t ret)
{
	pid_t tgid = request->thread->program->tgid, tid = request->thread->tid;
	bool signal = ret == -EPIPE && wants_signal(request);

	/* It may not get as far as to see EPIPE; a handler would take it for EINTR. */
	if (signal && signal_kills(tid, SIGPIPE)) {
		syscall(SYS_tgkill, tgid, tid, SIGPIPE);
		signal = false;
	}
	request_answer(nuse, request, ret);
	if (signal)
		syscall(SYS_tgkill, tgid, tid, SIGPIPE);
}

void call_send(struct plh_nuse *nuse, struct request *request)
{
	request_hold(request, object_of(nuse, request->thread, (int)request->args[0]));
	if (!request->object) {
		request_pass(nuse, request);
		return;
	}
	request->args[0] = (uint64_t)request->object->stack_fd;
	request->keeps = true;
	request_call(nuse, request, (uint64_t)request->data.nr, request->args, answer_sent);
}
