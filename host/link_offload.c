// SPDX-License-Identifier: GPL-2.0-only
/*
 * Whole segments or packets.  Chance must act on packets, so a link that leaves
 * something to chance has its devices' segmentation offload switched off, as
 * ethtool -K does it; then the kernel segments before it hands frames over.
 */
#include <errno.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "error.h"
#include "link.h"

/* The kernel's names of NETIF_F_TSO and its kin: net/ethtool/common.c. */
static const char *const segmentation_features[] = {
	"tx-tcp-segmentation",
	"tx-tcp-ecn-segmentation",
	"tx-tcp6-segmentation",
	"tx-udp-segmentation",
};
#define SEGMENTATION_FEATURES (sizeof(segmentation_features) / sizeof(segmentation_features[0]))
#define MAX_FEATURE_WORDS     8

static bool has_chance(const struct plh_link_config *config)
{
	return config->loss_model != PLH_LOSS_BERNOULLI ||
	       (config->loss | config->duplicate | config->reorder | config->corrupt |
		config->truncate);
}

bool link_needs_packets(const struct plh_link_config config[2])
{
	for (int i = 0; i < 2; i++)
		if (has_chance(&config[i]) || config[i].rate_bps || config[i].jitter_ns)
			return true;
	return false;
}

int link_check_config(uint32_t offload, const struct plh_link_config config[2])
{
	if (offload > PLH_OFFLOAD_AUTO) {
		plh_set_error("There is no offload %u: see enum plh_offload.", offload);
		return PLH_ERROR;
	}
	for (int i = 0; i < 2; i++) {
		if (config[i].loss_model > PLH_LOSS_GILBERT_ELLIOTT) {
			plh_set_error("There is no loss model %u: see enum plh_loss_model.",
				      config[i].loss_model);
			return PLH_ERROR;
		}
		if (offload == PLH_OFFLOAD_ON && has_chance(&config[i])) {
			plh_set_error("A link that always carries segments whole cannot lose, "
				      "duplicate, "
				      "reorder or corrupt single packets: let offload be automatic "
				      "or "
				      "off.");
			return PLH_ERROR;
		}
	}
	return PLH_OK;
}

/* --- ioctl(SIOCETHTOOL) of a kernel --- */

struct channel {
	struct plh_kernel *kernel;
	int64_t fd;
	struct ifreq request;
};

/* The result or -errno; *status is set unless it is PLH_OK. */
static int64_t call(struct channel *channel, uint64_t nr, uint64_t a0, uint64_t a1, uint64_t a2,
		    int *status)
{
	int64_t ret = -EIO;
	int failed = call_by_host3(channel->kernel, nr, a0, a1, a2, &ret);

	if (failed)
		*status = failed;
	return failed ? -EIO : ret;
}

static int64_t ethtool(struct channel *channel, void *command, int *status)
{
	channel->request.ifr_data = command;
	return call(channel, SYS_ioctl, (uint64_t)channel->fd, SIOCETHTOOL,
		    (uint64_t)&channel->request, status);
}

/* How many features this kernel knows; or -errno. */
static int64_t count_features(struct channel *channel, int *status)
{
	uint64_t buffer[(sizeof(struct ethtool_sset_info) + sizeof(uint64_t)) / sizeof(uint64_t)] = {
		0
	};
	struct ethtool_sset_info *info = (struct ethtool_sset_info *)buffer;
	int64_t ret;

	info->cmd = ETHTOOL_GSSET_INFO;
	info->sset_mask = 1ull << ETH_SS_FEATURES;
	ret = ethtool(channel, info, status);
	if (ret < 0)
		return ret;
	return info->sset_mask ? (int64_t)info->data[0] : -EOPNOTSUPP;
}

/* The numbers of the features, as bits of a mask; or -errno. */
static int64_t find_features(struct channel *channel, uint32_t mask[MAX_FEATURE_WORDS], int *status)
{
	int64_t count = count_features(channel, status), ret;
	struct ethtool_gstrings *names;
	bool found = false;

	if (count < 0)
		return count;
	if (count > MAX_FEATURE_WORDS * 32)
		return -E2BIG;
	names = calloc(1, sizeof(*names) + (size_t)count * ETH_GSTRING_LEN);
	if (!names)
		return -ENOMEM;
	names->cmd = ETHTOOL_GSTRINGS;
	names->string_set = ETH_SS_FEATURES;
	names->len = (uint32_t)count;
	ret = ethtool(channel, names, status);
	for (uint32_t i = 0; ret >= 0 && i < count; i++)
		for (uint32_t j = 0; j < SEGMENTATION_FEATURES; j++)
			if (!strncmp((const char *)names->data + i * ETH_GSTRING_LEN,
				     segmentation_features[j], ETH_GSTRING_LEN)) {
				mask[i / 32] |= 1u << i % 32;
				found = true;
			}
	free(names);
	if (ret < 0)
		return ret;
	return found ? count : -EOPNOTSUPP;
}

static int64_t set_features(struct channel *channel, bool on, int *status)
{
	uint32_t buffer[2 + 2 * MAX_FEATURE_WORDS] = { 0 }, mask[MAX_FEATURE_WORDS] = { 0 };
	struct ethtool_sfeatures *request = (struct ethtool_sfeatures *)buffer;
	int64_t count = find_features(channel, mask, status), ret;

	if (count < 0)
		return count;
	request->cmd = ETHTOOL_SFEATURES;
	request->size = (uint32_t)(count + 31) / 32;
	for (uint32_t i = 0; i < request->size; i++) {
		request->features[i].valid = mask[i];
		request->features[i].requested = on ? mask[i] : 0;
	}
	ret = ethtool(channel, request, status);
	/* A feature may stay off, if another one that it needs is; but none may stay on. */
	return ret > 0 && !on && ret & ETHTOOL_F_WISH ? -EOPNOTSUPP : ret;
}

static int switch_device(struct plh_device *device, bool on)
{
	struct channel channel = { .kernel = device->kernel };
	int status = PLH_OK, ignored;
	int64_t ret;

	channel.fd = call(&channel, SYS_socket, AF_INET, SOCK_DGRAM, 0, &status);
	ret = channel.fd;
	if (ret >= 0) {
		/* It may have another name by now, but not another index. */
		channel.request.ifr_ifindex = (int)device->netdev->ifindex;
		ret = call(&channel, SYS_ioctl, (uint64_t)channel.fd, SIOCGIFNAME,
			   (uint64_t)&channel.request, &status);
		if (ret >= 0)
			ret = set_features(&channel, on, &status);
		call(&channel, SYS_close, (uint64_t)channel.fd, 0, 0, &ignored);
	}
	/* A dead kernel sends nothing any more. */
	if (status)
		return status == PLH_DEAD ? PLH_OK : status;
	if (ret >= 0)
		return PLH_OK;
	plh_set_error("The segmentation offload of %.16s cannot be switched (%s): a device that "
		      "was moved to another network namespace needs a link whose offload is off.",
		      device->config.name, plh_errno_text((int)ret));
	return PLH_ERROR;
}

int link_set_segmented(struct plh_link *link, bool segmented)
{
	for (int end = 0; end < 2; end++) {
		struct plh_device *device = link->device[end];
		int status;

		if (!device || device->kernel->state != PLH_KERNEL_RUNNING)
			continue;
		status = switch_device(device, !segmented);
		if (status)
			return status;
	}
	link->segmented = segmented;
	return PLH_OK;
}
