// SPDX-License-Identifier: GPL-2.0-only
/*
 * The life of captures.  A capture has a lock of its own, under which nothing but
 * its file is touched, so that the end of the process can flush it whatever other
 * threads are doing; all else is protected by the world's lock.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "capture.h"
#include "checksum.h"
#include "device.h"
#include "error.h"
#include "fork.h"
#include "link.h"
#include "pcapng.h"

struct plh_capture {
	struct plh_world *world;
	struct plh_capture *next, **link; /* world->captures */
	struct plh_capture *next_open, **link_open; /* open_captures */
	struct capture_point *points;
	char *path;
	pthread_mutex_t mutex;
	struct pcapng file;
};

/* All of this process, with process_mutex. */
static struct plh_capture *open_captures;

#define DROP_NOTES (NOTE_LOSS | NOTE_QUEUE_FULL | NOTE_NO_BUFFER | NOTE_LINK_DOWN)

static const char *const note_texts[] = {
	"corrupted",
	"duplicate",
	"dropped: loss",
	"dropped: queue full",
	"dropped: no receive buffer",
	"dropped: link down",
	"truncated",
};
#define NOTES (sizeof(note_texts) / sizeof(note_texts[0]))

/* A child shares the file with its parent, who will write it. */
static bool is_forked(const struct plh_capture *capture)
{
	return capture->world->generation != fork_generation;
}

/* --- Frames --- */

static void write_packet(struct capture_point *point, uint64_t now_ns, uint32_t bytes, bool inbound,
			 uint32_t notes)
{
	struct pcapng_packet packet = {
		.time_ns = now_ns,
		.interface = point->interface,
		.bytes = bytes,
		.inbound = inbound,
	};
	int comments = 0;

	for (uint32_t i = 0; i < NOTES && comments < PCAPNG_MAX_COMMENTS; i++)
		if (notes & 1u << i)
			packet.comments[comments++] = note_texts[i];
	pcapng_packet(&point->capture->file, &packet);
	point->frames++;
	point->drops += (notes & DROP_NOTES) != 0;
}

static uint32_t bounded(uint32_t bytes)
{
	return bytes < PCAPNG_MAX_FRAME_BYTES ? bytes : PCAPNG_MAX_FRAME_BYTES;
}

void capture_span(struct capture_point *points, uint64_t now_ns, const struct ring_span *frame,
		  bool inbound, uint32_t notes)
{
	for (struct capture_point *point = points; point; point = point->next) {
		struct plh_capture *capture = point->capture;
		uint8_t *room;

		if (is_forked(capture))
			continue;
		pthread_mutex_lock(&capture->mutex);
		room = pcapng_room(&capture->file);
		ring_gather(frame, room, bounded(frame->bytes));
		checksum_fill(room, bounded(frame->bytes), ring_meta(frame));
		write_packet(point, now_ns, frame->bytes, inbound, notes);
		pthread_mutex_unlock(&capture->mutex);
	}
}

void capture_bytes(struct capture_point *points, uint64_t now_ns, const uint8_t *frame,
		   uint32_t bytes, const struct ll_desc *meta, bool inbound, uint32_t notes)
{
	for (struct capture_point *point = points; point; point = point->next) {
		struct plh_capture *capture = point->capture;
		uint8_t *room;

		if (is_forked(capture))
			continue;
		pthread_mutex_lock(&capture->mutex);
		room = pcapng_room(&capture->file);
		memcpy(room, frame, bounded(bytes));
		checksum_fill(room, bounded(bytes), meta);
		write_packet(point, now_ns, bytes, inbound, notes);
		pthread_mutex_unlock(&capture->mutex);
	}
}

/* --- Points --- */

static struct capture_point *add_point(struct plh_capture *capture, struct capture_point **points,
				       const char *name, const char *description)
{
	struct capture_point *point = calloc(1, sizeof(*point));

	if (!point) {
		plh_set_error("There is no memory for another interface of a capture.");
		return NULL;
	}
	point->capture = capture;
	while (*points)
		points = &(*points)->next;
	point->link = points;
	*points = point;
	point->link_of_capture = &capture->points;
	point->next_of_capture = capture->points;
	if (point->next_of_capture)
		point->next_of_capture->link_of_capture = &point->next_of_capture;
	capture->points = point;
	pthread_mutex_lock(&capture->mutex);
	point->interface = pcapng_interface(&capture->file, name, description);
	pthread_mutex_unlock(&capture->mutex);
	return point;
}

static void end_point(struct capture_point *point)
{
	struct plh_capture *capture = point->capture;

	if (!is_forked(capture)) {
		pthread_mutex_lock(&capture->mutex);
		pcapng_statistics(&capture->file, point->interface, world_now(capture->world),
				  point->frames, point->drops);
		pthread_mutex_unlock(&capture->mutex);
	}
	*point->link = point->next;
	if (point->next)
		point->next->link = point->link;
	*point->link_of_capture = point->next_of_capture;
	if (point->next_of_capture)
		point->next_of_capture->link_of_capture = point->link_of_capture;
	free(point);
}

static void flush(struct plh_capture *capture)
{
	if (is_forked(capture))
		return;
	pthread_mutex_lock(&capture->mutex);
	pcapng_flush(&capture->file);
	pthread_mutex_unlock(&capture->mutex);
}

void capture_end_points(struct capture_point **points)
{
	while (*points) {
		struct plh_capture *capture = (*points)->capture;

		end_point(*points);
		flush(capture);
	}
}

/* --- Files --- */

static int report(const struct plh_capture *capture)
{
	if (!capture->file.error)
		return PLH_OK;
	plh_set_error("The capture %s is incomplete: its file could not be written (%s).",
		      capture->path, plh_errno_text(-capture->file.error));
	return PLH_ERROR;
}

static void close_capture(struct plh_capture *capture)
{
	pthread_mutex_lock(&process_mutex);
	*capture->link_open = capture->next_open;
	if (capture->next_open)
		capture->next_open->link_open = capture->link_open;
	pthread_mutex_unlock(&process_mutex);
	*capture->link = capture->next;
	if (capture->next)
		capture->next->link = capture->link;
	close(capture->file.fd);
	pthread_mutex_destroy(&capture->mutex);
	free(capture->path);
	free(capture);
}

/* Interfaces in the order of their numbers. */
static void end_all_points(struct plh_capture *capture)
{
	while (capture->points) {
		struct capture_point *first = capture->points;

		for (struct capture_point *point = first; point; point = point->next_of_capture)
			if (point->interface < first->interface)
				first = point;
		end_point(first);
	}
}

void captures_close(struct plh_world *world)
{
	while (world->captures) {
		struct plh_capture *capture = world->captures;

		end_all_points(capture);
		flush(capture);
		close_capture(capture);
	}
}

/* Whoever ends without closing has a file all the same; statistics are missing in it. */
__attribute__((destructor)) static void flush_at_exit(void)
{
	pthread_mutex_lock(&process_mutex);
	for (struct plh_capture *capture = open_captures; capture; capture = capture->next_open)
		flush(capture);
	pthread_mutex_unlock(&process_mutex);
}

static void enlist(struct plh_capture *capture)
{
	struct plh_world *world = capture->world;

	capture->link = &world->captures;
	capture->next = world->captures;
	if (capture->next)
		capture->next->link = &capture->next;
	world->captures = capture;
	pthread_mutex_lock(&process_mutex);
	capture->link_open = &open_captures;
	capture->next_open = open_captures;
	if (capture->next_open)
		capture->next_open->link_open = &capture->next_open;
	open_captures = capture;
	pthread_mutex_unlock(&process_mutex);
}

/* --- API --- */

struct plh_capture *plh_capture_create(struct plh_world *world, const char *path, uint32_t snaplen)
{
	struct plh_capture *capture;
	int error;

	if (world_begin(world))
		return NULL;
	capture = malloc(sizeof(*capture));
	if (capture)
		capture->path = strdup(path);
	if (!capture || !capture->path) {
		plh_set_error("There is no memory for a capture.");
		goto fail;
	}
	error = pcapng_open(&capture->file, path, snaplen);
	if (error) {
		plh_set_error("The capture %s cannot be written (%s).", path,
			      plh_errno_text(error));
		free(capture->path);
		goto fail;
	}
	capture->world = world;
	capture->points = NULL;
	pthread_mutex_init(&capture->mutex, NULL);
	enlist(capture);
	world_unlock(world);
	return capture;
fail:
	free(capture);
	world_unlock(world);
	return NULL;
}

int plh_capture_add_device(struct plh_capture *capture, struct plh_device *device,
			   const char *description)
{
	int status = world_begin(capture->world);

	if (status)
		return status;
	if (device->kernel->world != capture->world) {
		plh_set_error("A capture takes devices of the world that it was made in.");
		status = PLH_ERROR;
	} else {
		/* What lies in the ring is still to be sent. */
		if (!device->points)
			for (uint32_t queue = 0; queue < device->netdev->queues; queue++)
				device->captured[queue] = device->netdev->tx[queue]->tail;
		if (!add_point(capture, &device->points, device->config.name, description))
			status = PLH_ERROR;
	}
	world_unlock(capture->world);
	return status;
}

int plh_capture_add_link(struct plh_capture *capture, struct plh_link *link,
			 const char *const description[2])
{
	int status = world_begin(capture->world);

	if (status)
		return status;
	if (link->world != capture->world) {
		plh_set_error("A capture takes links of the world that it was made in.");
		status = PLH_ERROR;
	}
	for (uint32_t end = 0; end < 2 && !status; end++)
		if (!add_point(capture, &link->points[end], link->name[end],
			       description ? description[end] : NULL))
			status = PLH_ERROR;
	world_unlock(capture->world);
	return status;
}

int plh_capture_flush(struct plh_capture *capture)
{
	struct plh_world *world = capture->world;
	int status = world_begin(world);

	if (status)
		return status;
	flush(capture);
	status = report(capture);
	world_unlock(world);
	return status;
}

int plh_capture_close(struct plh_capture *capture)
{
	struct plh_world *world = capture->world;
	int status = world_begin(world);

	if (status)
		return status;
	end_all_points(capture);
	flush(capture);
	status = report(capture);
	close_capture(capture);
	world_unlock(world);
	return status;
}
