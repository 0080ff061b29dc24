// SPDX-License-Identifier: GPL-2.0-only
/*
 * shm:DESCRIPTOR:make|open: a memory that two processes share, as shm_ring.h of the
 * host library has it, which one end makes and passes on over a UNIX socket.  Frames
 * are looked at where they lie.  It polls: a peer that sleeps is woken, this end
 * never sleeps.
 */
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "port.h"
#include "shm_ring.h"

#define RING_BYTES (1u << 20)
#define ALIGNMENT  16u
#define HELLO_MS   20000

struct hello {
	uint64_t magic;
	uint32_t version, ring_bytes;
};

struct side {
	struct shm_control *control;
	uint8_t *data;
	uint64_t own, other; /* positions; the other one as last seen */
};

struct shm_port {
	int socket;
	uint32_t bytes; /* of each ring */
	struct side out, in;
	uint64_t taken; /* of in: up to here frames are held */
};

static void map(struct shm_port *state, int fd, uint32_t ring_bytes, bool maker)
{
	struct shm_header *header = mmap(NULL, shm_memory_bytes(ring_bytes), PROT_READ | PROT_WRITE,
					 MAP_SHARED | MAP_POPULATE, fd, 0);

	if (header == MAP_FAILED)
		fail("mmap");
	state->bytes = ring_bytes;
	for (int i = 0; i < 2; i++) {
		struct side *side = (i == 0) == maker ? &state->out : &state->in;

		side->control = &header->control[i];
		side->data = (uint8_t *)header + SHM_DATA_OFFSET + (size_t)i * ring_bytes;
	}
	if (maker) {
		header->magic = SHM_MAGIC;
		header->version = SHM_VERSION;
		header->ring_bytes = ring_bytes;
	}
}

static void send_hello(int socket, uint32_t ring_bytes, int fd)
{
	struct hello hello = { SHM_MAGIC, SHM_VERSION, ring_bytes };
	struct iovec iov = { &hello, sizeof(hello) };
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))] = { 0 };
	struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct cmsghdr *header = (struct cmsghdr *)control;

	if (fd >= 0) {
		message.msg_control = control;
		message.msg_controllen = sizeof(control);
		*header = (struct cmsghdr){ .cmsg_len = CMSG_LEN(sizeof(int)),
					    .cmsg_level = SOL_SOCKET,
					    .cmsg_type = SCM_RIGHTS };
		memcpy(CMSG_DATA(header), &fd, sizeof(fd));
	}
	if (sendmsg(socket, &message, MSG_NOSIGNAL) != sizeof(hello))
		fail("the peer of a shared memory");
}

static int receive_hello(int socket, struct hello *hello)
{
	struct pollfd ready = { .fd = socket, .events = POLLIN };
	struct iovec iov = { hello, sizeof(*hello) };
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))];
	struct msghdr message = { .msg_iov = &iov,
				  .msg_iovlen = 1,
				  .msg_control = control,
				  .msg_controllen = sizeof(control) };
	int fd = -1;

	poll(&ready, 1, HELLO_MS);
	if (recvmsg(socket, &message, MSG_DONTWAIT) != sizeof(*hello) ||
	    hello->magic != SHM_MAGIC || hello->version != SHM_VERSION || !CMSG_FIRSTHDR(&message))
		fail("the memory of a peer");
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(fd));
	return fd;
}

static void shm_open_port(struct port *port, char *arguments)
{
	struct shm_port *state = calloc(1, sizeof(*state));
	struct hello hello;
	int fd;

	state->socket = atoi(next_word(&arguments, "descriptor"));
	if (!strcmp(next_word(&arguments, "role"), "make")) {
		fd = memfd_create("paper-shm", MFD_CLOEXEC | MFD_ALLOW_SEALING);
		if (fd < 0 || ftruncate(fd, (off_t)shm_memory_bytes(RING_BYTES)) ||
		    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL))
			fail("memfd");
		map(state, fd, RING_BYTES, true);
		send_hello(state->socket, RING_BYTES, fd);
	} else {
		fd = receive_hello(state->socket, &hello);
		map(state, fd, hello.ring_bytes, false);
		send_hello(state->socket, hello.ring_bytes, -1);
	}
	close(fd);
	port->state = state;
}

static uint32_t record_bytes(uint32_t bytes)
{
	return (uint32_t)sizeof(struct shm_record) + ((bytes + ALIGNMENT - 1) & ~(ALIGNMENT - 1));
}

/* The store of a position and the look at the flag must not change places. */
static void wake(const struct shm_port *state, uint32_t *flag)
{
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (__atomic_load_n(flag, __ATOMIC_RELAXED) &&
	    __atomic_exchange_n(flag, 0, __ATOMIC_ACQ_REL))
		send(state->socket, "", 1, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static int shm_receive(struct port *port, struct frame *frames, int max)
{
	struct shm_port *state = port->state;
	struct side *in = &state->in;
	int count = 0;

	state->taken = in->own;
	in->other = __atomic_load_n(&in->control->head, __ATOMIC_ACQUIRE);
	while (count < max && state->taken != in->other) {
		uint32_t offset = (uint32_t)state->taken & (state->bytes - 1);
		struct shm_record *record = (struct shm_record *)(in->data + offset);

		if (record->bytes == SHM_SKIP) {
			state->taken += state->bytes - offset;
			continue;
		}
		frames[count++] = (struct frame){ (uint8_t *)(record + 1), record->bytes };
		state->taken += record_bytes(record->bytes);
	}
	return count;
}

static void shm_release(struct port *port)
{
	struct shm_port *state = port->state;

	if (state->in.own == state->taken)
		return;
	state->in.own = state->taken;
	__atomic_store_n(&state->in.control->tail, state->in.own, __ATOMIC_RELEASE);
	wake(state, &state->in.control->want_room);
}

static int shm_send(struct port *port, const struct frame *frames, int count)
{
	struct shm_port *state = port->state;
	struct side *out = &state->out;
	int sent = 0;

	out->other = __atomic_load_n(&out->control->tail, __ATOMIC_ACQUIRE);
	for (; sent < count; sent++) {
		uint32_t need = record_bytes(frames[sent].bytes);
		uint32_t offset = (uint32_t)out->own & (state->bytes - 1);
		uint32_t skip = need > state->bytes - offset ? state->bytes - offset : 0;
		struct shm_record *record = (struct shm_record *)(out->data + offset);

		if (out->own + skip + need - out->other > state->bytes)
			break;
		if (skip) {
			record->bytes = SHM_SKIP;
			out->own += skip;
			record = (struct shm_record *)out->data;
		}
		*record = (struct shm_record){ .bytes = frames[sent].bytes };
		memcpy(record + 1, frames[sent].data, frames[sent].bytes);
		out->own += need;
	}
	if (sent) {
		__atomic_store_n(&out->control->head, out->own, __ATOMIC_RELEASE);
		wake(state, &out->control->want_frames);
	}
	return sent;
}

const struct port_kind port_shm = {
	.name = "shm",
	.open = shm_open_port,
	.receive = shm_receive,
	.release = shm_release,
	.send = shm_send,
};
