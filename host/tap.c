// SPDX-License-Identifier: GPL-2.0-only
/*
 * A tap of the host.  Frames go between the kernel's rings and the descriptor
 * without a copy of ours; with vnet_hdr, checksums and segmentation are left to
 * whoever needs them.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "device.h"
#include "error.h"

#ifndef TUN_F_USO4
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif

#define ETHERNET_BYTES 18 /* header and a VLAN tag */
#define MAX_GSO_BYTES  (65536 + ETHERNET_BYTES)
#define READ_BATCH     64 /* frames, then others have their turn */

typedef struct virtio_net_hdr_mrg_rxbuf vnet_header;

struct tap_state {
	int fd;
	bool vnet_header;
};

static int fail(int error, const char *name, const char *what)
{
	plh_set_error("The tap %s cannot be %s (%s): it needs CAP_NET_ADMIN, or a tap made before "
		      "with 'ip tuntap add mode tap user ...'.",
		      *name ? name : "(unnamed)", what, plh_errno_text(-error));
	return -error;
}

/* A descriptor of the caller: it must be what the parameters say. */
static int use_descriptor(struct tap_state *state, const struct plh_tap_parameters *tap)
{
	struct ifreq request = { 0 };

	state->fd = fcntl(tap->fd, F_DUPFD_CLOEXEC, 0);
	if (state->fd < 0 || ioctl(state->fd, TUNGETIFF, &request)) {
		int error = -errno;

		plh_set_error("Descriptor %d is no tap that is attached to an interface (%s).",
			      tap->fd, plh_errno_text(error));
		return error;
	}
	if (!(request.ifr_flags & IFF_TAP) || !(request.ifr_flags & IFF_NO_PI) ||
	    !(request.ifr_flags & IFF_VNET_HDR) != !tap->vnet_hdr) {
		plh_set_error("Descriptor %d must be attached with IFF_TAP | IFF_NO_PI, and with "
			      "IFF_VNET_HDR just when vnet_hdr is set.",
			      tap->fd);
		return -EINVAL;
	}
	return 0;
}

static int attach(struct tap_state *state, struct plh_tap_parameters *tap)
{
	struct ifreq request = { .ifr_flags = IFF_TAP | IFF_NO_PI };

	state->fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
	if (state->fd < 0)
		return fail(errno, tap->name, "opened");
	if (tap->vnet_hdr)
		request.ifr_flags |= IFF_VNET_HDR;
	memcpy(request.ifr_name, tap->name, sizeof(tap->name));
	request.ifr_name[IFNAMSIZ - 1] = 0;
	if (ioctl(state->fd, TUNSETIFF, &request))
		return fail(errno, tap->name, "attached");
	memcpy(tap->name, request.ifr_name, sizeof(tap->name));
	return 0;
}

static int negotiate(struct tap_state *state, const struct plh_tap_parameters *tap,
		     struct ll_netdev_config *config)
{
	unsigned int offload = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN;
	int header_bytes = sizeof(vnet_header);

	config->features = LL_NETDEV_SG;
	if (!state->vnet_header)
		return 0;
	config->features |= LL_NETDEV_CSUM | LL_NETDEV_TSO;
	if (ioctl(state->fd, TUNSETVNETHDRSZ, &header_bytes))
		return fail(errno, tap->name, "told the size of its header");
	if (!ioctl(state->fd, TUNSETOFFLOAD, offload | TUN_F_USO4 | TUN_F_USO6))
		config->features |= LL_NETDEV_USO; /* Linux 6.2 */
	else if (ioctl(state->fd, TUNSETOFFLOAD, offload))
		return fail(errno, tap->name, "told of offloads");
	return 0;
}

static int tap_open(struct plh_device *device, const void *parameters,
		    struct ll_netdev_config *config)
{
	/* The name is a result, too. */
	struct plh_tap_parameters *tap = (struct plh_tap_parameters *)parameters;
	struct tap_state *state = plh_device_state(device);
	int error;

	state->vnet_header = tap->vnet_hdr;
	error = tap->fd >= 0 ? use_descriptor(state, tap) : attach(state, tap);
	if (!error)
		error = negotiate(state, tap, config);
	if (!error && fcntl(state->fd, F_SETFL, O_RDWR | O_NONBLOCK))
		error = fail(errno, tap->name, "made non-blocking");
	if (error && state->fd >= 0)
		close(state->fd);
	return error;
}

static void tap_close(struct plh_device *device)
{
	close(((struct tap_state *)plh_device_state(device))->fd);
}

static int tap_fd(struct plh_device *device, short *events)
{
	*events = POLLIN;
	return ((struct tap_state *)plh_device_state(device))->fd;
}

static ssize_t send_frame(const struct tap_state *state, const struct ring_span *frame)
{
	const struct ll_desc *meta = ring_meta(frame);
	vnet_header header = { 0 };
	struct iovec iov[RING_MAX_PIECES + 1];
	int pieces = ring_iovec(frame, iov + 1);

	/* An array of one costs the host 25 ns. */
	if (!state->vnet_header)
		return pieces == 1 ? write(state->fd, iov[1].iov_base, iov[1].iov_len) :
				     writev(state->fd, iov + 1, pieces);
	/* Our numbers are those of virtio. */
	header.hdr.flags = meta->csum_flags & LL_CSUM_NEEDED;
	header.hdr.gso_type = meta->gso_type;
	header.hdr.hdr_len = meta->hdr_len;
	header.hdr.gso_size = meta->gso_size;
	header.hdr.csum_start = meta->csum_start;
	header.hdr.csum_offset = meta->csum_offset;
	iov[0] = (struct iovec){ &header, sizeof(header) };
	return writev(state->fd, iov, pieces + 1);
}

static void tap_transmit(struct plh_device *device)
{
	const struct tap_state *state = plh_device_state(device);
	struct ring_span frame;

	for (uint32_t queue = 0; queue < device->netdev->queues; queue++) {
		while (device_next(device, queue, &frame)) {
			ssize_t sent = send_frame(state, &frame);

			if (sent < 0 && errno == EINTR)
				continue;
			if (sent < 0 && errno == EAGAIN) {
				device_stall_transmit(device);
				break;
			}
			/* EIO: the interface is down; like a cable that is not plugged in. */
			device_sent(device, &frame, sent < 0);
		}
	}
	device_notify_sent(device);
}

static ssize_t read_frame(const struct tap_state *state, struct ring_span *room,
			  vnet_header *header)
{
	struct iovec iov[RING_MAX_PIECES + 1];
	int pieces = ring_iovec(room, iov + 1);
	ssize_t bytes;

	if (!state->vnet_header)
		return pieces == 1 ? read(state->fd, iov[1].iov_base, iov[1].iov_len) :
				     readv(state->fd, iov + 1, pieces);
	iov[0] = (struct iovec){ header, sizeof(*header) };
	bytes = readv(state->fd, iov, pieces + 1);
	if (bytes < 0)
		return bytes;
	return bytes - (ssize_t)sizeof(*header);
}

static void set_meta(struct ll_desc *meta, const vnet_header *header)
{
	meta->csum_flags = header->hdr.flags & (LL_CSUM_NEEDED | LL_CSUM_VALID);
	meta->gso_type = header->hdr.gso_type;
	meta->hdr_len = header->hdr.hdr_len;
	meta->gso_size = header->hdr.gso_size;
	meta->csum_start = header->hdr.csum_start;
	meta->csum_offset = header->hdr.csum_offset;
}

static void tap_receive(struct plh_device *device)
{
	const struct tap_state *state = plh_device_state(device);
	uint32_t most = state->vnet_header ? MAX_GSO_BYTES : device->config.mtu + ETHERNET_BYTES;
	vnet_header header = { 0 };
	struct ring_span room;

	for (int i = 0; i < READ_BATCH; i++) {
		ssize_t bytes;

		if (!device_claim_or_stall(device, 0, most, &room))
			return;
		do
			bytes = read_frame(state, &room, &header);
		while (bytes < 0 && errno == EINTR);
		if (bytes < 0 && errno != EAGAIN)
			device_set_stalled(device, true); /* deleted: do not spin on it */
		if (bytes <= 0)
			return;
		ring_fill(&room, (uint32_t)bytes);
		if (state->vnet_header)
			set_meta(ring_meta(&room), &header);
		device_commit(device, &room);
	}
}

const struct plh_backend plh_tap = {
	.name = "tap",
	.state_bytes = sizeof(struct tap_state),
	.open = tap_open,
	.close = tap_close,
	.transmit = tap_transmit,
	.receive = tap_receive,
	.fd = tap_fd,
	/* A read that finds nothing costs no more than asking whether there is something. */
	.poll = tap_receive,
};
