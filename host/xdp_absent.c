// SPDX-License-Identifier: GPL-2.0-only
/* In place of the xdp device, where the library was built without what it needs. */
#include <errno.h>

#include "device.h"
#include "error.h"

static int refuse(struct plh_device *device, const void *parameters,
		  struct ll_netdev_config *config)
{
	plh_set_error("This libpylibos_host.so was built without xdp devices: install the packages "
		      "libxdp-dev and libbpf-dev, and build it again by 'make host'.");
	return -ENOSYS;
}

const struct plh_backend plh_xdp = {
	.name = "xdp",
	.open = refuse,
};
