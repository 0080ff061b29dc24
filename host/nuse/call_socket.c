// SPDX-License-Identifier: GPL-2.0-only
/* Sockets: made, accepted, and the calls that only need their descriptor translated. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "nuse.h"

#ifndef AF_ALG
#define AF_ALG 38
#endif

/* The program's descriptor as its first argument: false if it was left to the host. */
static bool translate(struct plh_nuse *nuse, struct request *request)
{
	request_hold(request, object_of(nuse, request->thread, (int)request->args[0]));
	if (!request->object) {
		request_pass(nuse, request);
		return false;
	}
	request->args[0] = (uint64_t)request->object->stack_fd;
	return true;
}

void call_on_object(struct plh_nuse *nuse, struct request *request)
{
	if (translate(nuse, request))
		request_call(nuse, request, (uint64_t)request->data.nr, request->args,
			     request_answer);
}

/* --- Made --- */

static void socket_made(struct plh_nuse *nuse, struct request *request, int64_t ret)
{
	int type = (int)request->data.args[1];
	struct object *object;

	if (ret < 0) {
		request_answer(nuse, request, ret);
		return;
	}
	object = object_create(nuse, OBJECT_SOCKET, (int)ret, type & SOCK_NONBLOCK);
	if (!object)
		request_answer(nuse, request, -errno);
	else
		request_answer_object(nuse, request, object, type & SOCK_CLOEXEC);
}

void call_socket(struct plh_nuse *nuse, struct request *request)
{
	int family = (int)request->args[0];

	/* Between processes of the host, and its cryptography: no network. */
	if (family == AF_UNIX || family == AF_ALG)
		request_pass(nuse, request);
	else
		request_call(nuse, request, SYS_socket, request->args, socket_made);
}

void call_socketpair(struct plh_nuse *nuse, struct request *request)
{
	if ((int)request->args[0] == AF_UNIX)
		request_pass(nuse, request);
	else
		request_refuse(nuse, request, -EOPNOTSUPP,
			       "a pair of sockets of another family than AF_UNIX");
}

/* --- Accepted --- */

static void listened(struct plh_nuse *nuse, struct request *request, int64_t ret)
{
	struct object *object = request->object;

	if (!ret && !object->listening) {
		/* accept4(2) has no flag for it: so that it never takes what nobody waits for. */
		stack_call(nuse, SYS_fcntl, (uint64_t)object->stack_fd, F_SETFL,
			   O_RDWR | O_NONBLOCK, 0, 0, 0);
		object->listening = true;
	}
	request_answer(nuse, request, ret);
}

void call_listen(struct plh_nuse *nuse, struct request *request)
{
	if (translate(nuse, request))
		request_call(nuse, request, SYS_listen, request->args, listened);
}

static int accept_flags(const struct request *request)
{
	return request->data.nr == SYS_accept4 ? (int)request->data.args[3] : 0;
}

static void give_accepted(struct plh_nuse *nuse, struct request *request, struct object *object)
{
	struct object *listener = request->object;
	int spare = fcntl(object->spare, F_DUPFD_CLOEXEC, 0);

	/* A copy for us, lest the connection goes with a program that was interrupted. */
	if (spare < 0) {
		object_free(nuse, object);
		request_answer(nuse, request, -errno);
		return;
	}
	if (request_answer_fd(nuse, request, object->spare, accept_flags(request) & SOCK_CLOEXEC)) {
		object->spare = spare;
		object->next_accepted = listener->accepted;
		listener->accepted = object;
		return;
	}
	object->spare = -1;
	close(spare);
}

static void accept_again(struct plh_nuse *nuse, struct request *request);

static void accepted(struct plh_nuse *nuse, struct request *request, int64_t ret)
{
	struct object *object;

	if (ret == -EAGAIN && !request->object->nonblock && ++request->rounds <= WAIT_ROUNDS) {
		wait_for_object(nuse, request, POLLIN, SO_RCVTIMEO, accept_again);
		return;
	}
	if (ret < 0) {
		request_answer(nuse, request, ret);
		return;
	}
	object =
		object_create(nuse, OBJECT_SOCKET, (int)ret, accept_flags(request) & SOCK_NONBLOCK);
	if (!object)
		request_answer(nuse, request, -errno);
	else
		give_accepted(nuse, request, object);
}

static void accept_again(struct plh_nuse *nuse, struct request *request)
{
	uint64_t args[6] = { request->args[0], request->args[1], request->args[2],
			     (uint64_t)accept_flags(request) };

	args[3] &= ~(uint64_t)SOCK_CLOEXEC;
	request_call(nuse, request, SYS_accept4, args, accepted);
}

/* One that was accepted before, for a program that a signal took away. */
static void named(struct plh_nuse *nuse, struct request *request, int64_t ret)
{
	struct object *object = request->object->accepted;

	(void)ret;
	request->object->accepted = object->next_accepted;
	object->next_accepted = NULL;
	give_accepted(nuse, request, object);
}

void call_accept(struct plh_nuse *nuse, struct request *request)
{
	uint64_t args[6] = { 0, request->args[1], request->args[2] };

	if (!translate(nuse, request))
		return;
	if (accept_flags(request) & ~(SOCK_CLOEXEC | SOCK_NONBLOCK)) {
		request_answer(nuse, request, -EINVAL);
	} else if (!request->object->accepted) {
		accept_again(nuse, request);
	} else if (request->args[1]) {
		args[0] = (uint64_t)request->object->accepted->stack_fd;
		request_call(nuse, request, SYS_getpeername, args, named);
	} else {
		named(nuse, request, 0);
	}
}

/* --- Flags --- */

static void flags_set(struct plh_nuse *nuse, struct request *request, int64_t ret)
{
	/* The placeholder's flags are those that programs read: it gets them, too. */
	if (ret < 0)
		request_answer(nuse, request, ret);
	else
		request_pass(nuse, request);
}

void call_fcntl(struct plh_nuse *nuse, struct request *request)
{
	uint64_t args[6];

	switch ((int)request->args[1]) {
	case F_SETFL:
		break;
	case F_SETOWN:
	case F_SETSIG:
	case F_SETOWN_EX:
		request_hold(request, object_of(nuse, request->thread, (int)request->args[0]));
		if (request->object)
			request_refuse(nuse, request, -EINVAL,
				       "signals of sockets (SIGIO, SIGURG)");
		else
			request_pass(nuse, request);
		return;
	default:
		request_pass(nuse, request);
		return;
	}
	if (!translate(nuse, request))
		return;
	request->object->nonblock = request->args[2] & O_NONBLOCK;
	memcpy(args, request->args, sizeof(args));
	if (request->object->listening)
		args[2] |= O_NONBLOCK;
	request_call(nuse, request, SYS_fcntl, args, flags_set);
}

void call_ioctl(struct plh_nuse *nuse, struct request *request)
{
	unsigned int command = (unsigned int)request->args[1];
	int on;

	if (command == FIOCLEX || command == FIONCLEX) {
		request_pass(nuse, request);
		return;
	}
	if (!translate(nuse, request))
		return;
	if (command != FIONBIO) {
		request_call(nuse, request, SYS_ioctl, request->args, request_answer);
	} else if (memory_read(request, &on, request->args[2], sizeof(on))) {
		request_answer(nuse, request, -EFAULT);
	} else {
		request->object->nonblock = on;
		if (request->object->listening)
			request_pass(nuse, request);
		else
			request_call(nuse, request, SYS_ioctl, request->args, flags_set);
	}
}

/* --- Others --- */

void call_identity(struct plh_nuse *nuse, struct request *request)
{
	request->thread->program->stale = true;
	request_pass(nuse, request);
}

void call_io_uring(struct plh_nuse *nuse, struct request *request)
{
	request_refuse(nuse, request, -ENOSYS, "io_uring would go round the stack");
}

void call_foreign(struct plh_nuse *nuse, struct request *request)
{
	struct program *program = request->thread->program;

	if (program->noticed) {
		request_answer(nuse, request, -ENOSYS);
		return;
	}
	program->noticed = true;
	request_refuse(nuse, request, -ENOSYS, "32-bit programs cannot use the stack");
}
