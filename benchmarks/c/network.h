/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Networks to measure: kernels joined by links, and their peers, network namespaces
 * of the host joined by veth.  A node is either, and is configured by the same
 * calls.  Namespaces live as long as a descriptor does: nothing of them is left
 * behind.  They need root; without it there is no native column, which is said.
 */
#ifndef NETWORK_H
#define NETWORK_H

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/ethtool.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/sockios.h>
#include <linux/veth.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <net/route.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "bench.h"

struct node {
	struct subject subject; /* kernel NULL: a namespace */
	int netns;
};

/* A call in the kernel or the namespace: its result or -errno. */
static inline int64_t node_try(const struct node *node, long nr, uint64_t a, uint64_t b, uint64_t c,
			       uint64_t d, uint64_t e, uint64_t f)
{
	int status = PLH_OK;
	int64_t ret;

	if (!node->subject.kernel) {
		ret = syscall(nr, a, b, c, d, e, f);
		return ret < 0 ? -errno : ret;
	}
	ret = plh_call6(node->subject.kernel, node->subject.task, &status, (uint64_t)nr, a, b, c, d,
			e, f);
	check(status == PLH_OK, "system call");
	return ret;
}

/* One that must succeed. */
static inline int64_t node_call(const struct node *node, long nr, uint64_t a, uint64_t b,
				uint64_t c, uint64_t d, uint64_t e, uint64_t f)
{
	int64_t ret = node_try(node, nr, a, b, c, d, e, f);

	if (ret < 0) {
		fprintf(stderr, "system call %ld: %s\n", nr, strerror((int)-ret));
		exit(1);
	}
	return ret;
}

/* Sockets and /proc/sys belong to the namespace that the thread is in when it opens them. */
static inline void node_enter(const struct node *node)
{
	if (!node->subject.kernel)
		check(setns(node->netns, CLONE_NEWNET) == 0, "setns");
}

static inline uint64_t node_socket(const struct node *node, int type)
{
	node_enter(node);
	return (uint64_t)node_call(node, SYS_socket, AF_INET, (uint64_t)type, 0, 0, 0, 0);
}

static inline void node_close(const struct node *node, uint64_t fd)
{
	node_call(node, SYS_close, fd, 0, 0, 0, 0, 0);
}

static inline struct node kernel_node(struct plh_world *world, struct plh_image *image)
{
	struct node node = { .subject = { .image = image, .world = world }, .netns = -1 };

	node.subject.kernel = plh_kernel_boot(world, image, NULL);
	check(node.subject.kernel != NULL, "boot");
	node.subject.task = plh_kernel_init_task(node.subject.kernel);
	return node;
}

/* False: this process may not make namespaces. */
static inline int namespace_node(struct node *node)
{
	*node = (struct node){ .netns = -1 };
	if (unshare(CLONE_NEWNET))
		return 0;
	node->netns = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	return node->netns >= 0;
}

static inline int have_namespaces(struct node *nodes, int count)
{
	for (int i = 0; i < count; i++)
		if (!namespace_node(&nodes[i])) {
			fprintf(stderr, "Network namespaces need root: the native column is left "
					"out.\n");
			return 0;
		}
	return 1;
}

/* --- Cables --- */

static inline void join_kernels(const struct node *a, const struct node *b, int offload)
{
	const struct plh_link_parameters cable = {
		.kernel = { a->subject.kernel, b->subject.kernel },
		.offload = (uint32_t)offload,
	};

	check(plh_link_create(a->subject.world, &cable) != NULL, "link");
}

struct message {
	struct nlmsghdr header;
	struct ifinfomsg link;
	char attributes[512];
};

static inline struct rtattr *attribute(struct message *message, unsigned short type,
				       const void *data, size_t bytes)
{
	struct rtattr *new =
		(struct rtattr *)((char *)message + NLMSG_ALIGN(message->header.nlmsg_len));

	new->rta_type = type;
	new->rta_len = (unsigned short)RTA_LENGTH(bytes);
	if (bytes)
		memcpy(RTA_DATA(new), data, bytes);
	message->header.nlmsg_len =
		NLMSG_ALIGN(message->header.nlmsg_len) + (uint32_t)RTA_ALIGN(new->rta_len);
	return new;
}

static inline void close_attribute(const struct message *message, struct rtattr *nest)
{
	nest->rta_len = (unsigned short)((const char *)message + message->header.nlmsg_len -
					 (const char *)nest);
}

/* A veth pair: name_a in one namespace, name_b in the other. */
static inline void join_namespaces(const struct node *a, const char *name_a, const struct node *b,
				   const char *name_b)
{
	static const struct ifinfomsg unspecified;
	struct message message = {
		.header = { .nlmsg_len = NLMSG_LENGTH(sizeof(struct ifinfomsg)),
			    .nlmsg_type = RTM_NEWLINK,
			    .nlmsg_flags = NLM_F_REQUEST | NLM_F_CREATE | NLM_F_EXCL | NLM_F_ACK },
	};
	struct {
		struct nlmsghdr header;
		struct nlmsgerr error;
		char rest[256];
	} answer;
	struct rtattr *info, *data, *peer;
	int fd;

	node_enter(a);
	attribute(&message, IFLA_IFNAME, name_a, strlen(name_a) + 1);
	info = attribute(&message, IFLA_LINKINFO, NULL, 0);
	attribute(&message, IFLA_INFO_KIND, "veth", 5);
	data = attribute(&message, IFLA_INFO_DATA, NULL, 0);
	peer = attribute(&message, VETH_INFO_PEER, &unspecified, sizeof(unspecified));
	attribute(&message, IFLA_IFNAME, name_b, strlen(name_b) + 1);
	attribute(&message, IFLA_NET_NS_FD, &b->netns, sizeof(b->netns));
	close_attribute(&message, peer);
	close_attribute(&message, data);
	close_attribute(&message, info);
	fd = socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);
	if (send(fd, &message, message.header.nlmsg_len, 0) < 0 ||
	    recv(fd, &answer, sizeof(answer), 0) < (ssize_t)NLMSG_LENGTH(sizeof(answer.error)) ||
	    answer.header.nlmsg_type != NLMSG_ERROR || answer.error.error) {
		fprintf(stderr, "a veth pair cannot be made: %s\n", strerror(-answer.error.error));
		exit(1);
	}
	close(fd);
}

/* --- Addresses, routes, features --- */

static inline struct sockaddr_in address_of(const char *text, uint16_t port)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(port) };

	inet_pton(AF_INET, text, &address.sin_addr);
	return address;
}

static inline void configure(const struct node *node, const char *name, const char *address)
{
	const struct sockaddr_in mask = address_of("255.255.255.0", 0);
	const struct sockaddr_in own = address_of(address, 0);
	uint64_t fd = node_socket(node, SOCK_DGRAM);
	struct ifreq request = { 0 };

	strcpy(request.ifr_name, name);
	memcpy(&request.ifr_addr, &own, sizeof(own));
	node_call(node, SYS_ioctl, fd, SIOCSIFADDR, (uint64_t)&request, 0, 0, 0);
	memcpy(&request.ifr_addr, &mask, sizeof(mask));
	node_call(node, SYS_ioctl, fd, SIOCSIFNETMASK, (uint64_t)&request, 0, 0, 0);
	request.ifr_flags = IFF_UP;
	node_call(node, SYS_ioctl, fd, SIOCSIFFLAGS, (uint64_t)&request, 0, 0, 0);
	node_close(node, fd);
}

static inline void default_route(const struct node *node, const char *gateway)
{
	const struct sockaddr_in to = address_of(gateway, 0), any = address_of("0.0.0.0", 0);
	struct rtentry route = { .rt_flags = RTF_UP | RTF_GATEWAY };
	uint64_t fd = node_socket(node, SOCK_DGRAM);

	memcpy(&route.rt_dst, &any, sizeof(any));
	memcpy(&route.rt_genmask, &any, sizeof(any));
	memcpy(&route.rt_gateway, &to, sizeof(to));
	node_call(node, SYS_ioctl, fd, SIOCADDRT, (uint64_t)&route, 0, 0, 0);
	node_close(node, fd);
}

static inline void set_sysctl(const struct node *node, const char *path, const char *value)
{
	uint64_t fd;

	node_enter(node);
	fd = (uint64_t)node_call(node, SYS_openat, (uint64_t)AT_FDCWD, (uint64_t)path, O_WRONLY, 0,
				 0, 0);
	node_call(node, SYS_write, fd, (uint64_t)value, strlen(value), 0, 0, 0);
	node_close(node, fd);
}

/* ETHTOOL_STSO and its like; what a device does not have needs no turning off. */
static inline void set_feature(const struct node *node, const char *name, uint32_t command,
			       uint32_t on)
{
	struct ethtool_value value = { .cmd = command, .data = on };
	uint64_t fd = node_socket(node, SOCK_DGRAM);
	struct ifreq request = { 0 };
	int64_t ret;

	strcpy(request.ifr_name, name);
	request.ifr_data = (char *)&value;
	ret = node_try(node, SYS_ioctl, fd, SIOCETHTOOL, (uint64_t)&request, 0, 0, 0);
	if (ret && (ret != -EOPNOTSUPP || on)) {
		fprintf(stderr, "feature %#x of %s: %s\n", command, name, strerror((int)-ret));
		exit(1);
	}
	node_close(node, fd);
}

#endif
