// SPDX-License-Identifier: GPL-2.0-only
/* Which system call is served by what; also what the filter looks for. */
#include <linux/audit.h>
#include <sched.h>
#include <stddef.h>
#include <sys/syscall.h>

#include "nuse.h"

#define CALL(name, function) { #name, function, SYS_##name, 0 }

/* Those that programs make most come first: the filter compares in this order. */
const struct nuse_call nuse_calls[] = {
	CALL(read, call_receive),
	CALL(write, call_send),
	CALL(recvfrom, call_receive),
	CALL(sendto, call_send),
	CALL(recvmsg, call_receive),
	CALL(sendmsg, call_send),
	CALL(readv, call_receive),
	CALL(writev, call_send),
	CALL(accept4, call_accept),
#ifdef SYS_accept
	CALL(accept, call_accept),
#endif
	CALL(recvmmsg, call_receive),
	CALL(sendmmsg, call_send),
#ifdef SYS_epoll_wait
	CALL(epoll_wait, call_epoll_wait),
#endif
	CALL(epoll_pwait, call_epoll_wait),
	CALL(epoll_ctl, call_epoll_ctl),
#ifdef SYS_poll
	CALL(poll, call_poll),
#endif
	CALL(ppoll, call_poll),
#ifdef SYS_select
	CALL(select, call_select),
#endif
	CALL(pselect6, call_select),
	CALL(epoll_pwait2, call_epoll_wait),
	CALL(sendfile, call_sendfile),
	CALL(splice, call_splice),
	CALL(fcntl, call_fcntl),
	CALL(ioctl, call_ioctl),
	CALL(socket, call_socket),
	CALL(socketpair, call_socketpair),
	CALL(connect, call_on_object),
	CALL(bind, call_on_object),
	CALL(listen, call_listen),
	CALL(shutdown, call_on_object),
	CALL(getsockname, call_on_object),
	CALL(getpeername, call_on_object),
	CALL(getsockopt, call_on_object),
	CALL(setsockopt, call_on_object),
	CALL(preadv, call_on_object),
	CALL(pwritev, call_on_object),
	CALL(preadv2, call_on_object),
	CALL(pwritev2, call_on_object),
	CALL(pread64, call_on_object),
	CALL(pwrite64, call_on_object),
	CALL(openat, call_open),
	CALL(openat2, call_open),
	CALL(newfstatat, call_path),
	CALL(statx, call_path),
	CALL(faccessat, call_path),
	CALL(faccessat2, call_path),
	CALL(readlinkat, call_path),
#ifdef SYS_open
	CALL(open, call_open),
	CALL(stat, call_path),
	CALL(lstat, call_path),
	CALL(access, call_path),
	CALL(readlink, call_path),
#endif
	CALL(setuid, call_identity),
	CALL(setgid, call_identity),
	CALL(setreuid, call_identity),
	CALL(setregid, call_identity),
	CALL(setresuid, call_identity),
	CALL(setresgid, call_identity),
	CALL(setfsuid, call_identity),
	CALL(setfsgid, call_identity),
	CALL(io_uring_setup, call_io_uring),
	CALL(mount, call_mount),
	CALL(umount2, call_mount),
	CALL(mkdirat, call_change_path),
	CALL(unlinkat, call_change_path),
#ifdef SYS_mkdir
	CALL(mkdir, call_change_path),
	CALL(unlink, call_change_path),
	CALL(rmdir, call_change_path),
#endif
	CALL(setns, call_setns),
	{ "unshare", call_unshare, SYS_unshare, CLONE_NEWNET },
	{ "clone", call_clone, SYS_clone, CLONE_NEWNET },
};
const uint32_t nuse_call_count = sizeof(nuse_calls) / sizeof(nuse_calls[0]);

#ifdef __x86_64__
#define NATIVE_ARCH AUDIT_ARCH_X86_64
#else
#define NATIVE_ARCH AUDIT_ARCH_AARCH64
#endif

const struct nuse_call *call_of(const struct seccomp_data *data)
{
	static const struct nuse_call foreign = { "a 32-bit call", call_foreign, 0, 0 };
	static const struct nuse_call *by_number[512];

	if (data->arch != NATIVE_ARCH || (uint32_t)data->nr >= 512)
		return &foreign;
	if (!by_number[nuse_calls[0].number])
		for (uint32_t i = 0; i < nuse_call_count; i++)
			by_number[nuse_calls[i].number] = &nuse_calls[i];
	return by_number[data->nr] ? by_number[data->nr] : &foreign;
}
