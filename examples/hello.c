// SPDX-License-Identifier: GPL-2.0-only
/*
 * A Linux kernel in this process: boot it, make system calls, send a datagram to
 * ourselves.
 *
 *	cc hello.c $(pkg-config --cflags --libs pylibos) -o hello
 *	./hello liblinux.so
 */
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <time.h>

#include <pylibos_host.h>

static struct plh_kernel *kernel;
static plh_task *task;

static void die(const char *what)
{
	fprintf(stderr, "%s: %s\n", what, plh_error());
	exit(1);
}

/* A system call of the kernel in this process, with the numbers of this machine. */
static int64_t call(long nr, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e, uint64_t f)
{
	int status = PLH_OK;
	int64_t ret = plh_call6(kernel, task, &status, (uint64_t)nr, a, b, c, d, e, f);

	if (status != PLH_OK)
		die("system call");
	if (ret < 0) {
		fprintf(stderr, "system call %ld: %s\n", nr, strerror((int)-ret));
		exit(1);
	}
	return ret;
}

static double seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static void talk_to_ourselves(void)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET,
		.sin_port = htons(7),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	struct ifreq up = { .ifr_name = "lo", .ifr_flags = IFF_UP };
	uint64_t to = (uint64_t)&address;
	char text[64] = { 0 };
	uint64_t fd = (uint64_t)call(SYS_socket, AF_INET, SOCK_DGRAM, 0, 0, 0, 0);

	call(SYS_ioctl, fd, SIOCSIFFLAGS, (uint64_t)&up, 0, 0, 0);
	call(SYS_bind, fd, to, sizeof(address), 0, 0, 0);
	call(SYS_sendto, fd, (uint64_t)"hello, world", 12, 0, to, sizeof(address));
	call(SYS_recvfrom, fd, (uint64_t)text, sizeof(text), 0, 0, 0);
	printf("received: %s\n", text);
}

int main(int argc, char **argv)
{
	const struct plh_world_config config = { .clock_kind = PLH_CLOCK_REAL };
	const int calls = 1000000;
	struct utsname name;
	struct plh_world *world;
	struct plh_image *image;
	double started;

	image = plh_image_open(argc > 1 ? argv[1] : "liblinux.so");
	if (!image)
		die("image");
	world = plh_world_create(&config);
	if (!world)
		die("world");
	started = seconds();
	kernel = plh_kernel_boot(world, image, NULL);
	if (!kernel)
		die("boot");
	printf("booted in %.1f ms\n", (seconds() - started) * 1e3);

	task = plh_kernel_init_task(kernel);
	call(SYS_uname, (uint64_t)&name, 0, 0, 0, 0, 0);
	printf("%s %s on %s, process %ld\n", name.sysname, name.release, name.machine,
	       (long)call(SYS_getpid, 0, 0, 0, 0, 0, 0));
	talk_to_ourselves();

	started = seconds();
	for (int i = 0; i < calls; i++)
		call(SYS_getppid, 0, 0, 0, 0, 0, 0);
	printf("a system call takes %.1f ns\n", (seconds() - started) * 1e9 / calls);

	plh_world_destroy(world);
	plh_image_close(image);
	return 0;
}
