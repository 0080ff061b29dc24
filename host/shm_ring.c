// SPDX-License-Identifier: GPL-2.0-only
/* Writing to and reading from the rings of a shared memory. */
#include <string.h>

#include "shm_ring.h"

#define ALIGNMENT	      16u
#define ETHERNET_HEADER_BYTES 14
/* So many bytes are taken before the writer learns that there is room again. */
#define RELEASE_BYTES (1u << 15)

static uint32_t record_bytes(uint32_t frame_bytes)
{
	return (uint32_t)sizeof(struct shm_record) +
	       ((frame_bytes + ALIGNMENT - 1) & ~(ALIGNMENT - 1));
}

static uint32_t offset_of(const struct shm_ring *ring, uint64_t position)
{
	return (uint32_t)position & (ring->bytes - 1);
}

void shm_ring_attach(struct shm_ring *ring, void *memory, uint32_t ring_bytes, int direction)
{
	struct shm_header *header = memory;

	ring->control = &header->control[direction];
	ring->data = (uint8_t *)memory + SHM_DATA_OFFSET + (uint64_t)direction * ring_bytes;
	ring->bytes = ring_bytes;
	ring->head = ring->tail = 0;
}

/* --- Doorbells: the store of a position and the look at the flag must not change places --- */

static bool take_flag(uint32_t *flag)
{
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return __atomic_load_n(flag, __ATOMIC_RELAXED) &&
	       __atomic_exchange_n(flag, 0, __ATOMIC_ACQ_REL);
}

static void set_flag(uint32_t *flag)
{
	__atomic_store_n(flag, 1, __ATOMIC_RELEASE);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

bool shm_want_room(struct shm_ring *ring)
{
	set_flag(&ring->control->want_room);
	return __atomic_load_n(&ring->control->tail, __ATOMIC_ACQUIRE) != ring->tail;
}

bool shm_want_frames(struct shm_ring *ring)
{
	set_flag(&ring->control->want_frames);
	return __atomic_load_n(&ring->control->head, __ATOMIC_ACQUIRE) != ring->tail;
}

bool shm_owes_frames(struct shm_ring *ring)
{
	return take_flag(&ring->control->want_frames);
}

bool shm_owes_room(struct shm_ring *ring)
{
	return take_flag(&ring->control->want_room);
}

/* --- Writing --- */

/* Is there room up to a position?  false as well if the reader lies: *lies. */
static bool has_room(struct shm_ring *ring, uint64_t end, bool *lies)
{
	if (end - ring->tail <= ring->bytes)
		return true;
	ring->tail = __atomic_load_n(&ring->control->tail, __ATOMIC_ACQUIRE);
	*lies = ring->head - ring->tail > ring->bytes;
	return !*lies && end - ring->tail <= ring->bytes;
}

static void write_record(struct shm_ring *ring, const struct ring_span *frame)
{
	const struct ll_desc *meta = ring_meta(frame);
	uint8_t *at = ring->data + offset_of(ring, ring->head);
	struct shm_record record = {
		.bytes = frame->bytes,
		.csum_flags = meta->csum_flags,
		.gso_type = meta->gso_type,
		.hdr_len = meta->hdr_len,
		.gso_size = meta->gso_size,
		.csum_start = meta->csum_start,
		.csum_offset = meta->csum_offset,
	};

	memcpy(at, &record, sizeof(record));
	if (frame->pieces == 1)
		memcpy(at + sizeof(record), (const void *)meta->addr, frame->bytes);
	else
		ring_gather(frame, at + sizeof(record), frame->bytes);
	ring->head += record_bytes(frame->bytes);
}

/* Where a record would end, behind what is skipped if it must begin at the ring's begin. */
static uint64_t end_of(const struct shm_ring *ring, uint32_t need, uint32_t *skip)
{
	uint32_t to_end = ring->bytes - offset_of(ring, ring->head);

	*skip = need > to_end ? to_end : 0;
	return ring->head + *skip + need;
}

enum shm_result shm_write(struct plh_device *device, struct shm_ring *ring)
{
	static const uint32_t skip_mark = SHM_SKIP;
	enum shm_result result = SHM_OK;
	struct ring_span frame;
	bool lies = false;

	while (device_next(device, 0, &frame)) {
		uint32_t skip;

		if (frame.bytes > SHM_MAX_FRAME_BYTES) {
			device_sent(device, &frame, true);
			continue;
		}
		if (!has_room(ring, end_of(ring, record_bytes(frame.bytes), &skip), &lies)) {
			result = lies ? SHM_NONSENSE : SHM_WAIT;
			break;
		}
		if (skip) {
			memcpy(ring->data + offset_of(ring, ring->head), &skip_mark,
			       sizeof(skip_mark));
			ring->head += skip;
		}
		write_record(ring, &frame);
		device_sent(device, &frame, false);
	}
	__atomic_store_n(&ring->control->head, ring->head, __ATOMIC_RELEASE);
	return result;
}

/* --- Reading --- */

static void take_meta(const struct shm_record *record, struct ll_desc *meta)
{
	meta->csum_flags = record->csum_flags & (LL_CSUM_NEEDED | LL_CSUM_VALID);
	meta->gso_type = record->gso_type;
	meta->hdr_len = record->hdr_len;
	meta->gso_size = record->gso_size;
	meta->csum_start = record->csum_start;
	meta->csum_offset = record->csum_offset;
}

/* false: no buffers for it now. */
static bool deliver(struct plh_device *device, const struct shm_record *record,
		    const uint8_t *frame)
{
	struct ring_span room;

	if (record->bytes < ETHERNET_HEADER_BYTES ||
	    !ring_fits(device->netdev->rx[0], record->bytes)) {
		device->stats.rx_dropped++;
		return true;
	}
	if (!device_claim_or_stall(device, 0, record->bytes, &room))
		return false;
	ring_scatter(&room, frame, record->bytes);
	take_meta(record, ring_meta(&room));
	device_commit(device, &room);
	return true;
}

/* The record at tail, and its bytes with what is in front; 0: nonsense. */
static uint32_t look(const struct shm_ring *ring, struct shm_record *record)
{
	uint32_t offset = offset_of(ring, ring->tail);
	uint32_t to_end = ring->bytes - offset, need;
	uint64_t filled = ring->head - ring->tail;

	memcpy(record, ring->data + offset, sizeof(*record));
	/* From now on the peer can change it as it likes. */
	__asm__ volatile("" : : : "memory");
	if (record->bytes == SHM_SKIP)
		return to_end <= filled ? to_end : 0;
	if (record->bytes > SHM_MAX_FRAME_BYTES)
		return 0;
	need = record_bytes(record->bytes);
	return need <= to_end && need <= filled ? need : 0;
}

static void release(struct shm_ring *ring)
{
	__atomic_store_n(&ring->control->tail, ring->tail, __ATOMIC_RELEASE);
}

enum shm_result shm_read(struct plh_device *device, struct shm_ring *ring)
{
	enum shm_result result = SHM_OK;
	uint64_t released = ring->tail;

	ring->head = __atomic_load_n(&ring->control->head, __ATOMIC_ACQUIRE);
	if (ring->head - ring->tail > ring->bytes || ring->head % ALIGNMENT)
		return SHM_NONSENSE;
	while (ring->tail != ring->head) {
		struct shm_record record;
		uint32_t bytes = look(ring, &record);

		if (!bytes) {
			result = SHM_NONSENSE;
			break;
		}
		if (record.bytes != SHM_SKIP &&
		    !deliver(device, &record,
			     ring->data + offset_of(ring, ring->tail) + sizeof(record))) {
			result = SHM_WAIT;
			break;
		}
		ring->tail += bytes;
		if (ring->tail - released >= RELEASE_BYTES) {
			release(ring);
			released = ring->tail;
		}
	}
	if (released != ring->tail)
		release(ring);
	return result;
}
