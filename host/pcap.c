// SPDX-License-Identifier: GPL-2.0-only
/*
 * A file of packets as a device: they arrive as they once did, to the ns of the
 * world's clock, virtual or real; what the kernel sends is written to another
 * file.  The replay begins when the interface is up.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "device.h"
#include "error.h"
#include "pcap_file.h"
#include "pcapng.h"

#define ETHERNET_HEADER_BYTES 14
#define SPEED_ONE	      1000u /* thousandths */

struct pcap_state {
	struct plh_pcap_parameters parameters;
	struct pcap_file *file; /* or NULL: nothing is replayed (any more) */
	struct pcapng *record; /* or NULL */
	struct device_timer timer;
	bool started;
	bool blocked; /* the packet waits for receive buffers */
	uint32_t rounds; /* that are to come, this one included */
	uint64_t begin_ns; /* when this round began */
	uint64_t first_ns; /* the first packet's own time */
	struct pcap_packet packet; /* the next one */
	uint64_t due_ns;
};

/* --- Replay --- */

static void stop(struct pcap_state *state)
{
	if (!state->file)
		return;
	pcap_file_close(state->file);
	free(state->file);
	state->file = NULL;
}

static void set_due(struct pcap_state *state)
{
	uint64_t since_ns = state->packet.time_ns > state->first_ns ?
				    state->packet.time_ns - state->first_ns :
				    0;
	uint64_t due_ns = state->begin_ns;

	if (state->parameters.speed_permille)
		due_ns += (uint64_t)((unsigned __int128)since_ns * SPEED_ONE /
				     state->parameters.speed_permille);
	/* Packets of several interfaces may lie in another order than that of their times. */
	state->due_ns = due_ns > state->due_ns ? due_ns : state->due_ns;
}

/* The first packet of a round, or false. */
static bool begin_round(struct plh_device *device, uint64_t now_ns)
{
	struct pcap_state *state = plh_device_state(device);

	if (pcap_file_next(state->file, &state->packet) != 1)
		return false;
	state->begin_ns = now_ns;
	state->first_ns = state->packet.time_ns;
	state->due_ns = now_ns;
	return true;
}

static bool next_packet(struct plh_device *device)
{
	struct pcap_state *state = plh_device_state(device);
	int status = pcap_file_next(state->file, &state->packet);

	if (status == 1) {
		set_due(state);
		return true;
	}
	/* It was read through when it was opened, so somebody has changed it since. */
	if (status < 0)
		device_report(device, "The capture %s is not what it was: %s.",
			      state->parameters.path, state->file->error);
	else if (--state->rounds && !pcap_file_rewind(state->file))
		return begin_round(device, state->due_ns);
	return false;
}

/* false: it waits for buffers. */
static bool deliver(struct plh_device *device)
{
	struct pcap_state *state = plh_device_state(device);
	const struct pcap_packet *packet = &state->packet;
	struct ring_span room;

	if (!packet->ethernet || packet->kept < packet->length ||
	    packet->length < ETHERNET_HEADER_BYTES) {
		device->stats.rx_dropped++;
		return true;
	}
	switch (device_claim(device, 0, packet->length, &room)) {
	case DELIVER_WAIT:
		return false;
	case DELIVER_OK:
		ring_scatter(&room, packet->bytes, packet->length);
		device_commit(device, &room);
		break;
	case DELIVER_DROPPED:
		break;
	}
	return true;
}

static void replay(struct plh_device *device, uint64_t now_ns)
{
	struct pcap_state *state = plh_device_state(device);

	state->blocked = false;
	while (state->file && state->due_ns <= now_ns) {
		if (!deliver(device)) {
			state->blocked = true; /* until pcap_receive() */
			return;
		}
		if (!next_packet(device))
			stop(state);
	}
	device_timer_set(&state->timer, state->file ? state->due_ns : LL_NEVER);
}

static void start(struct plh_device *device)
{
	struct pcap_state *state = plh_device_state(device);
	uint64_t now_ns = world_now(device->kernel->world);

	state->started = true;
	if (begin_round(device, now_ns))
		device_timer_set(&state->timer, now_ns);
	else
		stop(state);
}

static void pcap_receive(struct plh_device *device)
{
	struct pcap_state *state = plh_device_state(device);

	if (state->blocked)
		replay(device, world_now(device->kernel->world));
}

/* --- Recording --- */

static void record(struct plh_device *device, const struct ring_span *frame)
{
	struct pcap_state *state = plh_device_state(device);
	struct pcapng_packet packet = {
		.time_ns = world_now(device->kernel->world),
		.bytes = frame->bytes,
	};

	ring_gather(frame, pcapng_room(state->record), frame->bytes);
	pcapng_packet(state->record, &packet);
}

static void pcap_transmit(struct plh_device *device)
{
	struct pcap_state *state = plh_device_state(device);
	struct ring_span frame;

	/* Now the interface has its name. */
	if (state->record && !state->record->interfaces)
		pcapng_interface(state->record, device->config.name, NULL);
	for (uint32_t queue = 0; queue < device->netdev->queues; queue++) {
		while (device_next(device, queue, &frame)) {
			if (state->record && !state->record->error)
				record(device, &frame);
			device_sent(device, &frame, state->record && state->record->error);
		}
	}
	/* A process that ends without closing leaves a whole file. */
	if (state->record) {
		pcapng_flush(state->record);
		if (state->record->error)
			device_report(device, "The capture %s cannot be written (%s).",
				      state->parameters.record,
				      plh_errno_text(-state->record->error));
	}
	device_notify_sent(device);
	/* Buffers are there as soon as the interface is up. */
	if (state->file && !state->started && ring_has_any(device->netdev->rx[0]))
		start(device);
}

/* --- Opening --- */

static int fail(int error, const char *path, const char *what)
{
	plh_set_error("The capture %s cannot be replayed: %s.", path,
		      error == -EINVAL ? what : plh_errno_text(error));
	return error;
}

/* All packets are looked at before the first one is replayed. */
static int check(struct pcap_file *file, const char *path)
{
	struct pcap_packet packet;
	uint64_t ethernet = 0;
	int status;

	while ((status = pcap_file_next(file, &packet)) == 1)
		ethernet += packet.ethernet;
	if (status < 0)
		return fail(status, path, file->error);
	if (!ethernet)
		return fail(-EINVAL, path, "it holds no packet of an Ethernet");
	status = pcap_file_rewind(file);
	return status ? fail(status, path, file->error) : 0;
}

static int open_replay(struct plh_device *device)
{
	struct pcap_state *state = plh_device_state(device);
	const char *path = state->parameters.path;
	struct pcap_file *file = malloc(sizeof(*file));
	int error;

	if (!file)
		return fail(-ENOMEM, path, "");
	error = pcap_file_open(file, path);
	if (error) {
		fail(error, path, file->error);
		free(file);
		return error;
	}
	state->file = file;
	error = check(file, path);
	return error ? error : device_timer_open(&state->timer, device, replay);
}

static int open_record(struct plh_device *device)
{
	struct pcap_state *state = plh_device_state(device);
	const char *path = state->parameters.record;
	struct pcapng *file = malloc(sizeof(*file));
	int error = file ? pcapng_open(file, path, 0) : -ENOMEM;

	if (error) {
		plh_set_error("The capture %s cannot be written (%s).", path,
			      plh_errno_text(error));
		free(file);
		return error;
	}
	state->record = file;
	return 0;
}

static void pcap_close(struct plh_device *device)
{
	struct pcap_state *state = plh_device_state(device);

	device_timer_close(&state->timer);
	stop(state);
	if (!state->record)
		return;
	/* A child shares the file with its parent, who has written all there is. */
	close(state->record->fd);
	free(state->record);
}

static int pcap_open(struct plh_device *device, const void *parameters,
		     struct ll_netdev_config *config)
{
	struct pcap_state *state = plh_device_state(device);
	int error = 0;

	state->parameters = *(const struct plh_pcap_parameters *)parameters;
	state->rounds = state->parameters.rounds ? state->parameters.rounds : 1;
	/* A file wants whole packets: nothing is left to the device. */
	config->features = LL_NETDEV_SG;
	if (state->parameters.path[0])
		error = open_replay(device);
	if (!error && state->parameters.record[0])
		error = open_record(device);
	if (error)
		pcap_close(device);
	return error;
}

const struct plh_backend plh_pcap = {
	.name = "pcap",
	.state_bytes = sizeof(struct pcap_state),
	.open = pcap_open,
	.close = pcap_close,
	.transmit = pcap_transmit,
	.receive = pcap_receive,
};
