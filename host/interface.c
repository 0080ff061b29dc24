// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <fcntl.h>
#include <linux/ethtool.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "error.h"
#include "interface.h"

#define LATER_NS       20000000 /* 20 ms */
#define OWN_NAMESPACE  "/proc/thread-self/ns/net"
#define SAME_NAMESPACE 0 /* interface_enter(): nothing to go back to */

static void set_name(struct ifreq *request, const char *name)
{
	memset(request, 0, sizeof(*request));
	memcpy(request->ifr_name, name, sizeof(request->ifr_name));
	request->ifr_name[IFNAMSIZ - 1] = 0;
}

/* --- Finding it --- */

/* "lo, eth0": what there is, for a message. */
static void list_interfaces(char *text, size_t bytes)
{
	struct if_nameindex *all = if_nameindex();
	size_t used = 0;

	text[0] = 0;
	for (const struct if_nameindex *one = all; one && one->if_index; one++) {
		int more =
			snprintf(text + used, bytes - used, "%s%s", used ? ", " : "", one->if_name);

		if (more < 0 || (size_t)more >= bytes - used)
			break;
		used += (size_t)more;
	}
	if (all)
		if_freenameindex(all);
}

static int find(struct interface *interface)
{
	char all[256];
	struct ifreq request;
	int error;

	set_name(&request, interface->name);
	if (ioctl(interface->netlink_fd, SIOCGIFINDEX, &request)) {
		error = -errno;
		list_interfaces(all, sizeof(all));
		plh_set_error("The host has no interface %s (%s): there are %s.",
			      *interface->name ? interface->name : "without a name",
			      plh_errno_text(error), all);
		return error;
	}
	interface->index = request.ifr_ifindex;
	if (ioctl(interface->netlink_fd, SIOCGIFHWADDR, &request) ||
	    request.ifr_hwaddr.sa_family != ARPHRD_ETHER) {
		plh_set_error("The host's interface %s carries no Ethernet frames: take one that "
			      "does, such as a network card, veth or tap.",
			      interface->name);
		return -EINVAL;
	}
	memcpy(interface->mac, request.ifr_hwaddr.sa_data, sizeof(interface->mac));
	return 0;
}

int interface_open(struct interface *interface, const char *name)
{
	struct sockaddr_nl address = { .nl_family = AF_NETLINK, .nl_groups = RTMGRP_LINK };
	int error;

	interface->netlink_fd = interface->namespace_fd = interface->timer_fd = -1;
	memcpy(interface->name, name, sizeof(interface->name));
	interface->name[sizeof(interface->name) - 1] = 0;
	memcpy(interface->given_name, interface->name, sizeof(interface->name));
	interface->namespace_fd = open(OWN_NAMESPACE, O_RDONLY | O_CLOEXEC);
	interface->netlink_fd =
		socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
	interface->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (interface->netlink_fd < 0 || interface->timer_fd < 0 ||
	    bind(interface->netlink_fd, (struct sockaddr *)&address, sizeof(address))) {
		error = -errno;
		plh_set_error("The host's interfaces cannot be watched (%s).",
			      plh_errno_text(error));
	} else {
		error = find(interface);
	}
	if (error)
		interface_close(interface);
	else
		interface_look(interface);
	return error;
}

void interface_close(struct interface *interface)
{
	if (interface->netlink_fd >= 0)
		close(interface->netlink_fd);
	if (interface->namespace_fd >= 0)
		close(interface->namespace_fd);
	if (interface->timer_fd >= 0)
		close(interface->timer_fd);
	interface->netlink_fd = interface->namespace_fd = interface->timer_fd = -1;
}

/* --- Following it --- */

int interface_watch(const struct interface *interface, int epoll_fd)
{
	struct epoll_event event = { .events = EPOLLIN };

	if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, interface->netlink_fd, &event) ||
	    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, interface->timer_fd, &event))
		return -errno;
	return 0;
}

void interface_look_later(const struct interface *interface)
{
	const struct itimerspec later = { .it_value.tv_nsec = LATER_NS };

	timerfd_settime(interface->timer_fd, 0, &later, NULL);
}

bool interface_changed(struct interface *interface)
{
	char message[8192];
	uint64_t expired;
	bool changed = read(interface->timer_fd, &expired, sizeof(expired)) > 0;
	ssize_t bytes;

	/* What they say does not matter: we look ourselves, and one may have been lost. */
	do {
		bytes = recv(interface->netlink_fd, message, sizeof(message), MSG_DONTWAIT);
		changed |= bytes > 0 || (bytes < 0 && errno == ENOBUFS);
	} while (bytes > 0 || (bytes < 0 && (errno == ENOBUFS || errno == EINTR)));
	return changed;
}

/* Its flags follow its carrier up to a second later, so its driver is asked. */
static bool has_carrier(const struct interface *interface, bool by_flags)
{
	struct ethtool_value value = { .cmd = ETHTOOL_GLINK };
	struct ifreq request;

	set_name(&request, interface->name);
	request.ifr_data = (char *)&value;
	return ioctl(interface->netlink_fd, SIOCETHTOOL, &request) ? by_flags : value.data;
}

static bool find_index(struct interface *interface, const char *name)
{
	struct ifreq request;

	set_name(&request, name);
	if (ioctl(interface->netlink_fd, SIOCGIFINDEX, &request))
		return false;
	interface->index = request.ifr_ifindex;
	memcpy(interface->name, request.ifr_name, sizeof(interface->name));
	return true;
}

void interface_look(struct interface *interface)
{
	struct ifreq request = { .ifr_ifindex = interface->index };

	interface->enabled = interface->up = false;
	/* It may have another name by now, and its name another interface. */
	if (interface->index && !ioctl(interface->netlink_fd, SIOCGIFNAME, &request))
		memcpy(interface->name, request.ifr_name, sizeof(interface->name));
	else
		interface->index = 0;
	/* It was deleted, perhaps after it had been renamed unseen. */
	if (!interface->index && !find_index(interface, interface->name))
		find_index(interface, interface->given_name);
	set_name(&request, interface->name);
	if (interface->index && !ioctl(interface->netlink_fd, SIOCGIFFLAGS, &request)) {
		interface->enabled = request.ifr_flags & IFF_UP;
		interface->up = interface->enabled &&
				has_carrier(interface, request.ifr_flags & IFF_RUNNING);
	}
	set_name(&request, interface->name);
	if (interface->index && !ioctl(interface->netlink_fd, SIOCGIFMTU, &request))
		interface->mtu = (uint32_t)request.ifr_mtu;
}

/* --- Its namespace --- */

int interface_enter(const struct interface *interface)
{
	int own = open(OWN_NAMESPACE, O_RDONLY | O_CLOEXEC);
	struct stat here, there;
	int error;

	if (own < 0 || fstat(own, &here) || fstat(interface->namespace_fd, &there) ||
	    (here.st_ino == there.st_ino && here.st_dev == there.st_dev)) {
		if (own >= 0)
			close(own);
		return SAME_NAMESPACE;
	}
	if (setns(interface->namespace_fd, CLONE_NEWNET)) {
		error = -errno;
		close(own);
		return error;
	}
	return own + 1;
}

void interface_leave(int token)
{
	if (token <= SAME_NAMESPACE)
		return;
	if (setns(token - 1, CLONE_NEWNET))
		perror("pylibos: the thread cannot go back to its network namespace");
	close(token - 1);
}

/* --- What it can --- */

bool interface_takes_segments(const struct interface *interface)
{
	struct ethtool_value value = { .cmd = ETHTOOL_GTSO };
	struct ifreq request;

	set_name(&request, interface->name);
	request.ifr_data = (char *)&value;
	return !ioctl(interface->netlink_fd, SIOCETHTOOL, &request) && value.data;
}

bool interface_has_driver(const struct interface *interface, const char *driver)
{
	struct ethtool_drvinfo info = { .cmd = ETHTOOL_GDRVINFO };
	struct ifreq request;

	set_name(&request, interface->name);
	request.ifr_data = (char *)&info;
	return !ioctl(interface->netlink_fd, SIOCETHTOOL, &request) &&
	       !strncmp(info.driver, driver, sizeof(info.driver));
}
