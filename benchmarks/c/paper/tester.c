// SPDX-License-Identifier: GPL-2.0-only
/*
 * Sender and receiver of the paper's topology, one thread on one core: what is due
 * is sent, what has arrived is counted, in turn, so that neither starves the other
 * and both have the same clock.  It never sleeps.
 *
 * usage: tester CORE PORT [PORT]     sends at the first, receives at the second
 *
 * A command is a line on standard input, its answer a line of JSON:
 *   load RATE SIZE MS [LOSE DUPLICATE TRUNCATE CORRUPT]   frames a second, 0: what goes;
 *        bytes of the IPv4 packet; faults on purpose in frames of 1000
 *   ping COUNT GAP_US SIZE       there and back again; each waits for the one before
 *   sink                         count what others send to the first port, until the
 *                                next line
 *   reflect                      the same, and send it back
 */
#include <arpa/inet.h>
#include <inttypes.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

#include "traffic.h"

#define TURNS_PER_LOOK 256 /* at standard input */
#define TRIAL_SHIFT    40
#define NS_PER_MS      1000000u
#define QUIET_NS       (20 * NS_PER_MS) /* then nothing more will come */
#define LOST_AFTER_NS  (200 * NS_PER_MS)

struct faults {
	uint32_t lose, duplicate, truncate, corrupt; /* in frames of 1000 */
};

static struct port near, far;
static struct arrivals arrivals;
static uint64_t foreign; /* frames that are none of ours, or of a trial before */
static uint64_t trial; /* the upper bits of numbers */

static uint64_t random_bits(void)
{
	static uint64_t state = 88172645463325252u;

	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

static int take_arrivals(void)
{
	struct frame frames[PORT_BATCH];
	int count = far.kind->receive(&far, frames, PORT_BATCH);
	uint64_t now_ns = count ? monotonic_ns() : 0;

	for (int i = 0; i < count; i++) {
		const struct traffic_frame *traffic = traffic_of(&frames[i]);

		if (traffic && traffic->number >> TRIAL_SHIFT == trial)
			arrivals_add(&arrivals, traffic, now_ns);
		else
			foreign++;
	}
	far.kind->release(&far);
	return count;
}

/* What a trial before left behind. */
static void drain(struct port *port)
{
	struct frame frames[PORT_BATCH];

	while (port->kind->receive(port, frames, PORT_BATCH))
		port->kind->release(port);
}

static void begin(void)
{
	drain(&near);
	if (far.kind)
		drain(&far);
	memset(&arrivals, 0, sizeof(arrivals));
	foreign = 0;
}

/* --- load --- */

enum fault { NO_FAULT, DUPLICATED, TRUNCATED, CORRUPTED, FAULTS };

struct load {
	struct traffic_frame frames[PORT_BATCH];
	uint64_t offered, refused;
	uint64_t lost; /* on purpose: never sent */
	uint64_t taken[FAULTS]; /* by the channel */
	uint8_t faults[PORT_BATCH]; /* of the batch */
	uint64_t number;
	bool dirty; /* frames were corrupted */
};

/* One frame into the batch, or none, or two; how many. */
static int add_faulty(struct load *load, const struct faults *faults, struct frame *batch, int at)
{
	struct traffic_frame *own = &load->frames[at];
	uint32_t chance = (uint32_t)(random_bits() % 1000);

	own->number = load->number++;
	load->faults[at] = NO_FAULT;
	if (chance < faults->lose) {
		load->lost++;
		return 0;
	}
	chance -= faults->lose;
	if (chance < faults->duplicate && at + 1 < PORT_BATCH) {
		load->faults[at + 1] = DUPLICATED;
		batch[at + 1] = (struct frame){ (uint8_t *)own, batch[at].bytes };
		return 2;
	}
	chance -= faults->duplicate;
	if (chance < faults->truncate) {
		load->faults[at] = TRUNCATED;
		batch[at].bytes = ETHERNET_BYTES +
				  (uint32_t)(random_bits() % (batch[at].bytes - ETHERNET_BYTES));
		return 1;
	}
	chance -= faults->truncate;
	if (chance < faults->corrupt) {
		load->faults[at] = CORRUPTED;
		load->dirty = true;
		batch[at].data[random_bits() % batch[at].bytes] ^=
			(uint8_t)(1 + random_bits() % 255);
	}
	return 1;
}

static void send_batch(struct load *load, uint32_t size, int due, const struct faults *faults)
{
	struct frame batch[PORT_BATCH];
	uint64_t now_ns = monotonic_ns();
	int count = 0, done = 0;

	while (count < due) {
		load->frames[count].sent_ns = now_ns;
		batch[count] =
			(struct frame){ (uint8_t *)&load->frames[count], ETHERNET_BYTES + size };
		if (faults) {
			int more = add_faulty(load, faults, batch, count);

			count += more;
			due -= !more;
		} else {
			load->faults[count] = NO_FAULT;
			load->frames[count++].number = load->number++;
		}
	}
	load->offered += (uint64_t)count;
	/* What the channel does not take at once is lost: an open loop. */
	while (done < count) {
		int taken = near.kind->send(&near, batch + done, count - done);

		for (; taken > 0; taken--)
			load->taken[load->faults[done++]]++;
		if (done < count) {
			load->refused++;
			done++;
		}
	}
	if (load->dirty)
		for (int i = 0; i < PORT_BATCH; i++)
			traffic_fill(&load->frames[i], FORTH, size);
	load->dirty = false;
}

static void run_load(uint64_t rate, uint32_t size, uint64_t ms, const struct faults *faults)
{
	static struct load load;
	uint64_t start_ns, now_ns, end_ns, sending_ns, lost;
	uint64_t issued = 0, heard_ns, silence_ns = 0;

	begin();
	memset(&load, 0, sizeof(load));
	load.number = ++trial << TRIAL_SHIFT;
	for (int i = 0; i < PORT_BATCH; i++)
		traffic_fill(&load.frames[i], FORTH, size);
	lost = port_lost(&far);
	start_ns = now_ns = heard_ns = monotonic_ns();
	end_ns = start_ns + ms * NS_PER_MS;
	for (; now_ns < end_ns; now_ns = monotonic_ns()) {
		uint64_t due = PORT_BATCH;

		if (rate) {
			due = (uint64_t)((double)(now_ns - start_ns) * (double)rate / 1e9) - issued;
			/* What it could not send in time stays unsent: less was offered. */
			if (due > 4 * PORT_BATCH)
				issued += due - 4 * PORT_BATCH;
			if (due > PORT_BATCH)
				due = PORT_BATCH;
		}
		if (due)
			send_batch(&load, size, (int)due, faults);
		issued += due;
		if (take_arrivals())
			heard_ns = now_ns;
		else if (now_ns - heard_ns > silence_ns)
			silence_ns = now_ns - heard_ns;
	}
	sending_ns = now_ns - start_ns;
	for (uint64_t last_ns = now_ns; now_ns - last_ns < QUIET_NS; now_ns = monotonic_ns())
		if (take_arrivals())
			last_ns = now_ns;
	if (arrivals.last_ns < start_ns + sending_ns)
		arrivals.last_ns = start_ns + sending_ns;
	printf("{\"asked_pps\": %" PRIu64 ", \"offered\": %" PRIu64 ", \"refused\": %" PRIu64
	       ", \"received\": %" PRIu64 ", \"reordered\": %" PRIu64 ", \"foreign\": %" PRIu64
	       ", \"lost_at_sink\": %" PRIu64 ", \"offered_pps\": %.1f, \"received_pps\": %.1f",
	       rate, load.offered, load.refused, arrivals.received, arrivals.reordered, foreign,
	       port_lost(&far) - lost, (double)load.offered * 1e9 / (double)sending_ns,
	       (double)arrivals.received * 1e9 / (double)(arrivals.last_ns - start_ns));
	printf(", \"lost\": %" PRIu64 ", \"duplicated\": %" PRIu64 ", \"truncated\": %" PRIu64
	       ", \"corrupted\": %" PRIu64,
	       load.lost, load.taken[DUPLICATED], load.taken[TRUNCATED], load.taken[CORRUPTED]);
	printf(", \"longest_silence_ms\": %.1f", (double)silence_ns / 1e6);
	print_delays(&arrivals);
	printf("}\n");
}

/* --- ping --- */

/* Wait at a port for the frame with a number; false if it does not come. */
static int await(struct port *port, uint64_t number)
{
	uint64_t start_ns = monotonic_ns();
	struct frame frames[PORT_BATCH];
	int found = 0;

	while (!found && monotonic_ns() - start_ns < LOST_AFTER_NS) {
		int count = port->kind->receive(port, frames, PORT_BATCH);

		for (int i = 0; i < count; i++) {
			const struct traffic_frame *traffic = traffic_of(&frames[i]);

			found |= traffic && traffic->number == number;
		}
		port->kind->release(port);
	}
	return found;
}

static void run_ping(uint64_t count, uint64_t gap_us, uint32_t size)
{
	static struct traffic_frame forth, back;
	const struct frame there = { (uint8_t *)&forth, ETHERNET_BYTES + size };
	const struct frame home = { (uint8_t *)&back, ETHERNET_BYTES + size };
	uint64_t lost = 0;

	begin();
	traffic_fill(&forth, FORTH, size);
	traffic_fill(&back, BACK, size);
	trial++;
	for (uint64_t n = 0; n < count; n++) {
		uint64_t start_ns = monotonic_ns(), end_ns, i = trial << TRIAL_SHIFT | n;

		forth.number = back.number = i;
		near.kind->send(&near, &there, 1);
		if (await(&far, i) && far.kind->send(&far, &home, 1) == 1 && await(&near, i))
			arrivals_add_delay(&arrivals, monotonic_ns() - start_ns);
		else
			lost++;
		end_ns = monotonic_ns() + gap_us * 1000;
		while (monotonic_ns() < end_ns)
			;
	}
	printf("{\"count\": %" PRIu64 ", \"lost\": %" PRIu64, count, lost);
	print_delays(&arrivals);
	printf("}\n");
}

/* --- sink, reflect --- */

static int is_udp_to_us(const struct frame *frame)
{
	const struct traffic_frame *traffic = (const struct traffic_frame *)frame->data;

	return frame->bytes >= ETHERNET_BYTES + SMALLEST_PACKET && traffic->type == htons(0x0800) &&
	       traffic->ip.protocol == IPPROTO_UDP && traffic->udp.dest == htons(9001);
}

static void turn_round(struct frame *frame)
{
	struct traffic_frame *traffic = (struct traffic_frame *)frame->data;
	const struct traffic_frame old = *traffic;

	memcpy(traffic->destination, old.source, 6);
	memcpy(traffic->source, old.destination, 6);
	traffic->ip.saddr = old.ip.daddr;
	traffic->ip.daddr = old.ip.saddr;
	traffic->udp.source = old.udp.dest;
	traffic->udp.dest = old.udp.source;
	/* What came over a veth pair may have none yet, and nobody would fill it in. */
	traffic->udp.check = 0;
}

static int told_to_stop(void)
{
	struct pollfd input = { .fd = 0, .events = POLLIN };
	char line[100];

	return poll(&input, 1, 0) && fgets(line, sizeof(line), stdin);
}

/* Until the next line of standard input, and until nothing more comes. */
static void run_sink(int reflect)
{
	uint64_t now_ns, last_ns, received = 0, bytes = 0, lost;
	struct frame frames[PORT_BATCH];
	int stopped = 0;

	begin();
	lost = port_lost(&near);
	printf("{\"ready\": true}\n");
	fflush(stdout);
	now_ns = last_ns = monotonic_ns();
	for (uint32_t turn = 1; !stopped || now_ns - last_ns < QUIET_NS;
	     turn++, now_ns = monotonic_ns()) {
		int count = near.kind->receive(&near, frames, PORT_BATCH);

		for (int i = 0; i < count; i++) {
			if (!is_udp_to_us(&frames[i]))
				continue;
			last_ns = now_ns;
			received++;
			bytes += frames[i].bytes;
			if (reflect) {
				turn_round(&frames[i]);
				near.kind->send(&near, &frames[i], 1);
			}
		}
		near.kind->release(&near);
		if (!stopped && turn % TURNS_PER_LOOK == 0 && told_to_stop()) {
			stopped = 1;
			last_ns = now_ns = monotonic_ns();
		}
	}
	printf("{\"received\": %" PRIu64 ", \"bytes\": %" PRIu64 ", \"lost_at_sink\": %" PRIu64
	       "}\n",
	       received, bytes, port_lost(&near) - lost);
}

int main(int argc, char **argv)
{
	char line[200];

	if (argc < 3) {
		fprintf(stderr, "usage: tester CORE PORT [PORT]\n");
		return 2;
	}
	prctl(PR_SET_PDEATHSIG, 9);
	pin_to_core((unsigned int)atoi(argv[1]));
	port_open(&near, argv[2]);
	if (argc > 3)
		port_open(&far, argv[3]);
	printf("{\"ready\": true}\n");
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin)) {
		uint64_t a, b, c;
		struct faults faults = { 0 };
		int words;

		words = sscanf(line, "load %" SCNu64 " %" SCNu64 " %" SCNu64 " %u %u %u %u", &a, &b,
			       &c, &faults.lose, &faults.duplicate, &faults.truncate,
			       &faults.corrupt);
		if (words >= 3 && far.kind && b >= SMALLEST_PACKET && b <= 1500)
			run_load(a, (uint32_t)b, c, words == 7 ? &faults : NULL);
		else if (sscanf(line, "ping %" SCNu64 " %" SCNu64 " %" SCNu64, &a, &b, &c) == 3 &&
			 far.kind && c >= SMALLEST_PACKET && c <= 1500)
			run_ping(a, b, (uint32_t)c);
		else if (!strcmp(line, "sink\n"))
			run_sink(0);
		else if (!strcmp(line, "reflect\n"))
			run_sink(1);
		else
			printf("{\"error\": \"no such command\"}\n");
		fflush(stdout);
	}
	return 0;
}
