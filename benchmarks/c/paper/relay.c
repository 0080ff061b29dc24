// SPDX-License-Identifier: GPL-2.0-only
/*
 * The channel without a stack: frames of one port go out of the other, as they are,
 * in batches, in both directions.  What a router on the same channel is measured by.
 *
 * usage: relay CORE epoll|busy PORT PORT      until standard input ends
 *
 * It leaves off for a command, a line on standard input, and answers in JSON:
 *   flood SIZE MS            send as much as the first port takes
 *   ask COUNT GAP_US SIZE    frames that somebody sends back, one by one
 */
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "traffic.h"

#define TURNS_PER_LOOK 256 /* at standard input, under load */
#define LOST_AFTER_NS  200000000u

static struct port ports[2];
static int busy;

static int move(struct port *from, struct port *to)
{
	struct frame frames[PORT_BATCH];
	int count = from->kind->receive(from, frames, PORT_BATCH);

	/* One frame that is not taken is dropped, as a switch would. */
	for (int done = 0; done < count; done++)
		done += to->kind->send(to, frames + done, count - done);
	from->kind->release(from);
	return count;
}

static void relay(void)
{
	struct pollfd fds[] = {
		{ .fd = 0, .events = POLLIN },
		{ .fd = ports[0].fd, .events = POLLIN },
		{ .fd = ports[1].fd, .events = POLLIN },
	};

	for (uint32_t turn = 1;; turn++) {
		int moved = move(&ports[0], &ports[1]) + move(&ports[1], &ports[0]);

		if (!moved && !busy)
			poll(fds, 3, -1);
		else if (turn % TURNS_PER_LOOK == 0)
			poll(fds, 1, 0);
		if (fds[0].revents)
			return;
	}
}

/* As a socket of a stack would: what is not taken now is offered again. */
static void flood(uint32_t size, uint64_t ms)
{
	static struct traffic_frame frames[PORT_BATCH];
	struct frame batch[PORT_BATCH];
	uint64_t start_ns = monotonic_ns(), end_ns = start_ns + ms * 1000000, sent = 0;

	for (int i = 0; i < PORT_BATCH; i++) {
		traffic_fill(&frames[i], FORTH, size);
		batch[i] = (struct frame){ (uint8_t *)&frames[i], ETHERNET_BYTES + size };
	}
	while (monotonic_ns() < end_ns)
		for (int done = 0, taken = 1;
		     done < PORT_BATCH && (taken || monotonic_ns() < end_ns);
		     done += taken, sent += (uint64_t)taken)
			taken = ports[0].kind->send(&ports[0], batch + done, PORT_BATCH - done);
	printf("{\"sent\": %" PRIu64 ", \"seconds\": %.6f}\n", sent,
	       (double)(monotonic_ns() - start_ns) / 1e9);
}

/* The answer to frame `number`; false if it does not come. */
static int await(uint64_t number)
{
	struct pollfd fd = { .fd = ports[0].fd, .events = POLLIN };
	uint64_t start_ns = monotonic_ns();
	struct frame frames[PORT_BATCH];

	while (monotonic_ns() - start_ns < LOST_AFTER_NS) {
		int count = ports[0].kind->receive(&ports[0], frames, PORT_BATCH), found = 0;

		for (int i = 0; i < count; i++) {
			const struct traffic_frame *traffic = traffic_of(&frames[i]);

			found |= traffic && traffic->number == number;
		}
		ports[0].kind->release(&ports[0]);
		if (found)
			return 1;
		if (!count && !busy)
			poll(&fd, 1, 200);
	}
	return 0;
}

static void ask(uint64_t count, uint64_t gap_us, uint32_t size)
{
	static struct arrivals answers;
	static struct traffic_frame question;
	const struct frame frame = { (uint8_t *)&question, ETHERNET_BYTES + size };
	uint64_t lost = 0;

	memset(&answers, 0, sizeof(answers));
	traffic_fill(&question, FORTH, size);
	for (uint64_t i = 0; i < count; i++) {
		uint64_t start_ns = monotonic_ns();

		question.number = i;
		ports[0].kind->send(&ports[0], &frame, 1);
		if (await(i))
			arrivals_add_delay(&answers, monotonic_ns() - start_ns);
		else
			lost++;
		usleep((useconds_t)gap_us);
	}
	printf("{\"count\": %" PRIu64 ", \"lost\": %" PRIu64, count, lost);
	print_delays(&answers);
	printf("}\n");
}

/* False once standard input has ended. */
static int obey(void)
{
	char line[200];
	ssize_t bytes = read(0, line, sizeof(line) - 1);
	uint64_t a, b, c;

	if (bytes <= 0)
		return 0;
	line[bytes] = 0;
	if (sscanf(line, "flood %" SCNu64 " %" SCNu64, &a, &b) == 2)
		flood((uint32_t)a, b);
	else if (sscanf(line, "ask %" SCNu64 " %" SCNu64 " %" SCNu64, &a, &b, &c) == 3)
		ask(a, b, (uint32_t)c);
	else
		printf("{\"error\": \"no such command\"}\n");
	fflush(stdout);
	return 1;
}

int main(int argc, char **argv)
{
	if (argc != 5) {
		fprintf(stderr, "usage: relay CORE epoll|busy PORT PORT\n");
		return 2;
	}
	prctl(PR_SET_PDEATHSIG, 9);
	pin_to_core((unsigned int)atoi(argv[1]));
	port_open(&ports[0], argv[3]);
	port_open(&ports[1], argv[4]);
	/* A port without a descriptor can only be polled. */
	busy = !strcmp(argv[2], "busy") || ports[0].fd < 0 || ports[1].fd < 0;
	printf("{\"ready\": true}\n");
	fflush(stdout);
	do
		relay();
	while (obey());
	return 0;
}
