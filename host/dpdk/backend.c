// SPDX-License-Identifier: GPL-2.0-only
/* What libpylibos_dpdk.so offers: the backend, and DPDK's own start. */
#include <errno.h>
#include <poll.h>
#include <rte_version.h>
#include <unistd.h>

#include "dpdk.h"
#include "error.h"

static int dpdk_open(struct plh_device *device, const void *parameters,
		     struct ll_netdev_config *config)
{
	/* Names are results, too. */
	struct plh_dpdk_parameters *dpdk = (struct plh_dpdk_parameters *)parameters;
	struct port *port = port_of(device);
	uint32_t wait_kind = device->kernel->world->config.wait_kind;
	int error = poll_open(port, dpdk->poll_us, wait_kind == PLH_WAIT_BUSY);

	if (error)
		return error;
	error = port_open(port, dpdk, config);
	if (error)
		close(port->timer_fd);
	port->up = true; /* as a netdev starts */
	return error;
}

static void dpdk_close(struct plh_device *device)
{
	struct port *port = port_of(device);

	port_close(port);
	close(port->timer_fd);
}

static void dpdk_transmit(struct plh_device *device)
{
	struct port *port = port_of(device);

	if (!port->up || port_is_gone(port)) {
		frames_drop_all(device);
		return;
	}
	frames_transmit(device);
	poll_soon(port);
}

static int dpdk_fd(struct plh_device *device, short *events)
{
	*events = POLLIN;
	return port_of(device)->timer_fd;
}

static const struct plh_backend backend = {
	.name = "dpdk",
	.state_bytes = sizeof(struct port),
	.open = dpdk_open,
	.close = dpdk_close,
	.transmit = dpdk_transmit,
	.receive = poll_timer,
	.fd = dpdk_fd,
	.count = poll_count,
	.poll = poll_port,
};

static int dpdk_stats(struct plh_device *device, struct plh_dpdk_stats *stats)
{
	if (device->backend != &backend) {
		plh_set_error("This is no DPDK device.");
		return PLH_ERROR;
	}
	poll_count(device);
	*stats = port_of(device)->stats;
	stats->removed = port_is_gone(port_of(device));
	return PLH_OK;
}

const struct plh_dpdk_library plh_dpdk = {
	.bytes = sizeof(struct plh_dpdk_library),
	.backend = &backend,
	.version = RTE_VER_PREFIX
	" " RTE_STR(RTE_VER_YEAR) "." RTE_STR(RTE_VER_MONTH) "." RTE_STR(RTE_VER_MINOR),
	.init = eal_init,
	.initialised = eal_initialised,
	.join = pair_join,
	.part = pair_part,
	.stats = dpdk_stats,
};
