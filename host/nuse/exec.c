// SPDX-License-Identifier: GPL-2.0-only
/* How a process becomes a program on a stack. */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "../error.h"
#include "nuse.h"

static int send_listener(int server_fd, int listener)
{
	char byte = 'L';
	struct iovec data = { &byte, 1 };
	union {
		struct cmsghdr header;
		char room[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	struct msghdr message = {
		.msg_iov = &data,
		.msg_iovlen = 1,
		.msg_control = control.room,
		.msg_controllen = sizeof(control.room),
	};
	int64_t result;

	control.header.cmsg_level = SOL_SOCKET;
	control.header.cmsg_type = SCM_RIGHTS;
	control.header.cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(&control.header), &listener, sizeof(int));
	do
		result = gate_call(SYS_sendmsg, (uint64_t)server_fd, (uint64_t)&message,
				   MSG_NOSIGNAL, 0, 0, 0);
	while (result == -EINTR);
	return result < 0 ? (int)result : 0;
}

static int await_answer(int server_fd)
{
	int64_t result;
	char byte;

	do
		result = gate_call(SYS_read, (uint64_t)server_fd, (uint64_t)&byte, 1, 0, 0, 0);
	while (result == -EINTR);
	if (result < 0)
		return (int)result;
	return result == 1 ? 0 : -ECONNREFUSED;
}

int plh_nuse_exec(int server_fd, const char *file, char *const *argv, char *const *envp)
{
	int listener, error;

	error = gate_open();
	if (error) {
		plh_set_error("The page at %#llx, which the filter exempts, cannot be mapped (%s).",
			      GATE_ADDRESS, plh_errno_text(error));
		return error;
	}
	listener = filter_install();
	if (listener == -EBUSY) {
		plh_set_error("This process is a program on a stack already: a stack inside of "
			      "another one is not possible.");
		return listener;
	}
	if (listener < 0) {
		plh_set_error("The seccomp filter cannot be installed (%s): it needs Linux 5.14 "
			      "with CONFIG_SECCOMP_FILTER.",
			      plh_errno_text(listener));
		return listener;
	}
	/* From here on the filter holds: only the gate reaches the host's network. */
	error = send_listener(server_fd, listener);
	if (!error)
		error = await_answer(server_fd);
	close(listener);
	close(server_fd);
	if (error) {
		plh_set_error("The stack did not take the program (%s).", plh_errno_text(error));
		return error;
	}
	execvpe(file, argv, envp);
	return -errno;
}
