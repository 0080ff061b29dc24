/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Frames through memory that two processes share: one ring in each direction, with
 * one who writes and one who reads.  Neither trusts the other: what the peer can
 * write is read once, checked, and used from a copy, so a peer that lies ends the
 * connection and does no more.
 */
#ifndef PLH_SHM_RING_H
#define PLH_SHM_RING_H

#include "device.h"

#define SHM_MAGIC	    0x314d48534c50ull /* "PLSHM1" */
#define SHM_VERSION	    1u
#define SHM_MIN_RING_BYTES  (1u << 17)
#define SHM_MAX_RING_BYTES  (1u << 28)
#define SHM_MAX_FRAME_BYTES (65536 + 22)

/*
 * Positions in a ring count bytes and never wrap; modulo ring_bytes they are
 * offsets.  Each line of a cache has one writer, but for what asks for a doorbell:
 * it is set by who waits and cleared by who rings.
 */
struct shm_control {
	uint64_t head; /* the writer's */
	uint64_t reserved0[7];
	uint32_t want_room; /* the writer waits for tail to move */
	uint32_t reserved1[15];
	uint64_t tail; /* the reader's */
	uint64_t reserved2[7];
	uint32_t want_frames; /* the reader waits for head to move */
	uint32_t reserved3[15];
};

/* How the memory begins; the rings' bytes follow at SHM_DATA_OFFSET, one after the other. */
struct shm_header {
	uint64_t magic;
	uint32_t version;
	uint32_t ring_bytes;
	uint64_t reserved[6];
	struct shm_control control[2]; /* [0]: from the end that listens */
};
#define SHM_DATA_OFFSET 4096

/* In front of each frame, which begins behind it; multiples of 16 bytes. */
struct shm_record {
	uint32_t bytes; /* of the frame, or SHM_SKIP: the next one is at the ring's begin */
	uint8_t csum_flags; /* as in struct ll_desc */
	uint8_t gso_type;
	uint16_t hdr_len;
	uint16_t gso_size;
	uint16_t csum_start;
	uint16_t csum_offset;
	uint16_t reserved;
};
#define SHM_SKIP 0xffffffffu

/* One end's view of one ring. */
struct shm_ring {
	struct shm_control *control;
	uint8_t *data;
	uint32_t bytes;
	uint64_t head, tail; /* ours is exact, the other one as last seen */
};

enum shm_result {
	SHM_OK, /* all was done that can be done now */
	SHM_WAIT, /* no room; or, reading, the device is stalled */
	SHM_NONSENSE, /* the peer's positions or lengths cannot be */
};

#pragma GCC visibility push(hidden)

static inline uint64_t shm_memory_bytes(uint32_t ring_bytes)
{
	return SHM_DATA_OFFSET + 2ull * ring_bytes;
}

void shm_ring_attach(struct shm_ring *ring, void *memory, uint32_t ring_bytes, int direction);

/* Move frames from the device into the ring, and back; positions are published at the end. */
enum shm_result shm_write(struct plh_device *device, struct shm_ring *ring);
enum shm_result shm_read(struct plh_device *device, struct shm_ring *ring);

/*
 * Ask for a doorbell when the other position moves.  True: it has moved already,
 * look again.
 */
bool shm_want_room(struct shm_ring *ring);
bool shm_want_frames(struct shm_ring *ring);
/* After the own position moved: did the peer ask for a doorbell? */
bool shm_owes_frames(struct shm_ring *ring);
bool shm_owes_room(struct shm_ring *ring);

#pragma GCC visibility pop

#endif
