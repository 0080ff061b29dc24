// SPDX-License-Identifier: GPL-2.0-only
/*
 * sendfile(2) from a file of the host to a socket of the stack, and splice(2) between
 * its pipes and such sockets.  The server has a duplicate of the file for the time of
 * the call.  It never waits for it: a file is read, a pipe is watched.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../clock.h"
#include "waiting.h"

#define CHUNK	  131072u
#define MAX_BYTES 0x7ffff000ull /* of one call, as Linux has it */

struct transfer {
	struct waiting wait;
	struct pollfd fd; /* the socket */
	int host_fd; /* a duplicate */
	char *buffer;
	uint64_t left, sent;
	off_t position; /* in the file, of what comes next */
	uint64_t offset_at; /* where the program keeps it; 0: it is the file's own */
};

static void transfer_cleanup(struct plh_nuse *nuse, struct request *request)
{
	struct transfer *transfer = request->state;

	wait_end(nuse, request);
	close(transfer->host_fd);
	free(transfer->buffer);
}

/* The state, with a duplicate of the host's descriptor; NULL: answered. */
static struct transfer *
transfer_create(struct plh_nuse *nuse, struct request *request, int host, uint64_t bytes,
		void (*again)(struct plh_nuse *nuse, struct request *request))
{
	struct transfer *transfer = calloc(1, sizeof(*transfer));
	char *buffer = malloc(CHUNK);
	int fd = transfer && buffer ? wait_duplicate(request, host) : -ENOMEM;

	if (fd < 0) {
		free(buffer);
		free(transfer);
		request_answer(nuse, request, fd);
		return NULL;
	}
	transfer->host_fd = fd;
	transfer->buffer = buffer;
	transfer->left = bytes < MAX_BYTES ? bytes : MAX_BYTES;
	transfer->wait.again = again;
	transfer->fd.fd = request->object->stack_fd;
	request->state = transfer;
	request->cleanup = transfer_cleanup;
	return transfer;
}

/* Wait for the socket, at most as long as its option says, or for the host's. */
static void transfer_wait(struct plh_nuse *nuse, struct request *request, short socket_events,
			  uint32_t host_events)
{
	struct transfer *transfer = request->state;
	int host_fd = -1;
	int timeout_ms = socket_events ? object_timeout_ms(nuse, request->object,
							   socket_events == POLLIN ? SO_RCVTIMEO :
										     SO_SNDTIMEO) :
					 -1;

	request->deadline_ns = timeout_ms < 0 ?
				       LL_NEVER :
				       clock_monotonic_ns(NULL) + (uint64_t)timeout_ms * 1000000;
	transfer->fd.events = socket_events;
	transfer->wait.fds = &transfer->fd;
	transfer->wait.count = socket_events != 0;
	if (host_events && (host_fd = dup(transfer->host_fd)) < 0)
		request_answer(nuse, request, -ENOMEM);
	else
		wait_begin(nuse, request, host_fd, host_events);
}

static int64_t send_some(struct plh_nuse *nuse, const struct request *request, const char *data,
			 uint64_t bytes, bool more)
{
	return stack_call(nuse, SYS_sendto, (uint64_t)request->object->stack_fd, (uint64_t)data,
			  bytes, MSG_DONTWAIT | MSG_NOSIGNAL | (more ? MSG_MORE : 0), 0, 0);
}

/* --- sendfile --- */

/* What was sent counts, whatever came then. */
static void file_sent(struct plh_nuse *nuse, struct request *request, int64_t error)
{
	struct transfer *transfer = request->state;
	int64_t ret = transfer->sent ? (int64_t)transfer->sent : error;

	if (transfer->offset_at && memory_write(request, transfer->offset_at, &transfer->position,
						sizeof(transfer->position)))
		ret = -EFAULT;
	answer_sent(nuse, request, ret);
}

static void send_file(struct plh_nuse *nuse, struct request *request)
{
	struct transfer *transfer = request->state;
	bool timed_out = wait_is_over(request);
	int64_t ret = 0;

	/* Nothing has happened yet: the same call again begins anew. */
	if (!transfer->sent && !request_valid(nuse, request)) {
		request_abandon(nuse, request);
		return;
	}
	while (transfer->left) {
		uint64_t want = transfer->left < CHUNK ? transfer->left : CHUNK;
		ssize_t have = pread(transfer->host_fd, transfer->buffer, want, transfer->position);

		ret = have < 0 ? -errno : 0;
		if (have <= 0)
			break;
		ret = send_some(nuse, request, transfer->buffer, (uint64_t)have,
				(uint64_t)have == want && transfer->left > want);
		if (ret < 0)
			break;
		transfer->sent += (uint64_t)ret;
		transfer->left -= (uint64_t)ret;
		transfer->position += ret;
		if (!transfer->offset_at)
			lseek(transfer->host_fd, transfer->position, SEEK_SET);
		timed_out = false;
	}
	if (ret == -EAGAIN && !request->object->nonblock && !timed_out)
		transfer_wait(nuse, request, POLLOUT, 0);
	else
		file_sent(nuse, request, ret < 0 ? ret : 0);
}

void call_sendfile(struct plh_nuse *nuse, struct request *request)
{
	const __u64 *args = request->data.args;
	struct object *in = object_of(nuse, request->thread, (int)args[1]);
	struct transfer *transfer;
	struct stat status;
	int error = 0;

	request_hold(request, object_of(nuse, request->thread, (int)args[0]));
	/* From a socket, Linux says EINVAL, and so it says of placeholders. */
	if (!request->object || in) {
		request_pass(nuse, request);
		return;
	}
	transfer = transfer_create(nuse, request, (int)args[1], args[3], send_file);
	if (!transfer)
		return;
	request->keeps = true;
	transfer->offset_at = args[2];
	if (fstat(transfer->host_fd, &status))
		error = -errno;
	else if ((!S_ISREG(status.st_mode) && !S_ISBLK(status.st_mode)) ||
		 request->object->kind != OBJECT_SOCKET)
		error = -EINVAL;
	else if (args[2])
		error = memory_read(request, &transfer->position, args[2],
				    sizeof(transfer->position));
	else
		transfer->position = lseek(transfer->host_fd, 0, SEEK_CUR);
	if (!error && transfer->position < 0)
		error = -EINVAL;
	if (error)
		request_answer(nuse, request, error);
	else
		send_file(nuse, request);
}

/* --- splice --- */

/*
 * nuse->scratch is a pipe that is empty between calls: what moves between two pipes never
 * waits if it is told so, whatever their own flags are.
 */
static void empty_scratch(struct plh_nuse *nuse, char *buffer)
{
	while (read(nuse->scratch[0], buffer, CHUNK) > 0)
		;
}

/* A copy of what the pipe holds: bytes, 0 at its end, -EAGAIN. */
static ssize_t look_into_pipe(struct plh_nuse *nuse, struct transfer *transfer)
{
	uint64_t want = transfer->left < CHUNK ? transfer->left : CHUNK;
	ssize_t have = tee(transfer->host_fd, nuse->scratch[1], want, SPLICE_F_NONBLOCK);

	if (have <= 0)
		return have ? -errno : 0;
	return read(nuse->scratch[0], transfer->buffer, (size_t)have);
}

static void pipe_to_socket(struct plh_nuse *nuse, struct request *request)
{
	struct transfer *transfer = request->state;
	const unsigned int flags = (unsigned int)request->data.args[5];
	bool timed_out = wait_is_over(request);
	int64_t ret;

	if (!request_valid(nuse, request)) {
		request_abandon(nuse, request);
		return;
	}
	ret = look_into_pipe(nuse, transfer);
	if (ret == -EAGAIN && !(flags & SPLICE_F_NONBLOCK)) {
		transfer_wait(nuse, request, 0, POLLIN);
		return;
	}
	if (ret > 0) {
		ret = send_some(nuse, request, transfer->buffer, (uint64_t)ret,
				flags & SPLICE_F_MORE);
		if (ret == -EAGAIN && !request->object->nonblock && !timed_out) {
			transfer_wait(nuse, request, POLLOUT, 0);
			return;
		}
	}
	/* As much leaves the pipe as was sent. */
	if (ret > 0 && splice(transfer->host_fd, NULL, nuse->scratch[1], NULL, (size_t)ret,
			      SPLICE_F_NONBLOCK) >= 0)
		empty_scratch(nuse, transfer->buffer);
	answer_sent(nuse, request, ret);
}

/* How much of the buffer went into the pipe, or -errno. */
static int64_t into_pipe(struct plh_nuse *nuse, struct transfer *transfer, size_t bytes)
{
	struct pollfd readers = { .fd = transfer->host_fd };
	ssize_t moved;

	/* SIGPIPE is for the program, not for us. */
	if (poll(&readers, 1, 0) == 1 && readers.revents & POLLERR)
		return -EPIPE;
	moved = write(nuse->scratch[1], transfer->buffer, bytes);
	if (moved > 0)
		moved = splice(nuse->scratch[0], NULL, transfer->host_fd, NULL, (size_t)moved,
			       SPLICE_F_NONBLOCK);
	if (moved < 0)
		moved = -errno;
	empty_scratch(nuse, transfer->buffer);
	return moved;
}

static int64_t receive(struct plh_nuse *nuse, const struct request *request, char *buffer,
		       uint64_t bytes, int flags)
{
	return stack_call(nuse, SYS_recvfrom, (uint64_t)request->object->stack_fd, (uint64_t)buffer,
			  bytes, (uint64_t)(MSG_DONTWAIT | flags), 0, 0);
}

static void socket_to_pipe(struct plh_nuse *nuse, struct request *request)
{
	struct transfer *transfer = request->state;
	uint64_t want = transfer->left < CHUNK ? transfer->left : CHUNK;
	bool timed_out = wait_is_over(request), patient;
	int64_t ret;

	if (!request_valid(nuse, request)) {
		request_abandon(nuse, request);
		return;
	}
	ret = receive(nuse, request, transfer->buffer, want, MSG_PEEK);
	if (ret == -EAGAIN && !request->object->nonblock && !timed_out) {
		transfer_wait(nuse, request, POLLIN, 0);
		return;
	}
	if (ret <= 0) {
		request_answer(nuse, request, ret);
		return;
	}
	ret = into_pipe(nuse, transfer, (size_t)ret);
	patient = !(request->data.args[5] & SPLICE_F_NONBLOCK) &&
		  !(fcntl(transfer->host_fd, F_GETFL) & O_NONBLOCK);
	if (ret == -EAGAIN && patient) {
		transfer_wait(nuse, request, 0, POLLOUT);
		return;
	}
	/* As much leaves the socket as is in the pipe. */
	if (ret > 0)
		receive(nuse, request, transfer->buffer, (uint64_t)ret, 0);
	answer_sent(nuse, request, ret);
}

static bool is_pipe(int fd)
{
	struct stat status;

	return !fstat(fd, &status) && S_ISFIFO(status.st_mode);
}

static bool is_stream(struct plh_nuse *nuse, const struct object *object)
{
	int type = 0;
	uint32_t bytes = sizeof(type);

	return object->kind == OBJECT_SOCKET &&
	       !stack_call(nuse, SYS_getsockopt, (uint64_t)object->stack_fd, SOL_SOCKET, SO_TYPE,
			   (uint64_t)&type, (uint64_t)&bytes, 0) &&
	       type == SOCK_STREAM;
}

void call_splice(struct plh_nuse *nuse, struct request *request)
{
	const __u64 *args = request->data.args;
	struct object *in = object_of(nuse, request->thread, (int)args[0]);
	struct object *out = object_of(nuse, request->thread, (int)args[2]);
	struct transfer *transfer;

	/* Without a pipe, with nothing to do or with offsets the host's kernel has the answer. */
	if ((!in && !out) || (in && out) || !args[4] || args[1] || args[3]) {
		request_pass(nuse, request);
		return;
	}
	request_hold(request, in ? in : out);
	transfer = transfer_create(nuse, request, (int)args[in ? 2 : 0], args[4],
				   in ? socket_to_pipe : pipe_to_socket);
	if (!transfer)
		return;
	if (!is_pipe(transfer->host_fd))
		request_answer(nuse, request, -EINVAL);
	else if (in && !is_stream(nuse, in))
		request_refuse(nuse, request, -EINVAL, "splice from sockets of datagrams");
	else
		transfer->wait.again(nuse, request);
}
