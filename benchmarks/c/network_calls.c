// SPDX-License-Identifier: GPL-2.0-only
/*
 * A network system call that does next to nothing, as an unmodified program makes it:
 * run natively and on a stack by 'python -m benchmarks program_call'.  Prints ns.
 */
#include <stdio.h>
#include <sys/socket.h>
#include <time.h>

#define CALLS 20000

int main(void)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
	struct timespec start, end;
	char byte;

	clock_gettime(CLOCK_MONOTONIC, &start);
	for (int i = 0; i < CALLS; i++)
		recv(fd, &byte, 1, 0); /* EAGAIN */
	clock_gettime(CLOCK_MONOTONIC, &end);
	printf("%.1f\n",
	       ((double)(end.tv_sec - start.tv_sec) * 1e9 + (double)(end.tv_nsec - start.tv_nsec)) /
		       CALLS);
	return 0;
}
