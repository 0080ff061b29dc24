/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * An interface of the host that a device is joined to: found by name, followed when it
 * is renamed, goes down, comes up, is deleted and made again (rtnetlink(7) tells).
 */
#ifndef PLH_INTERFACE_H
#define PLH_INTERFACE_H

#include <stdbool.h>
#include <stdint.h>

#pragma GCC visibility push(hidden)

struct interface {
	char name[16]; /* as it is called now, or was when it was last looked at */
	char given_name[16]; /* as it was called first */
	int index; /* 0: there is none */
	bool enabled; /* administratively up (IFF_UP) */
	bool up; /* and its cable is plugged in */
	uint32_t mtu;
	uint8_t mac[6]; /* as interface_open() found it */
	int netlink_fd; /* readable when some interface of the namespace has changed */
	int timer_fd; /* readable when it is to be looked at anyway */
	int namespace_fd; /* of the network namespace that it is in */
};

/* 0, or -errno and plh_set_error(). */
int interface_open(struct interface *interface, const char *name);
void interface_close(struct interface *interface);
/* Let an epoll descriptor tell when interface_changed() should be called: 0 or -errno. */
int interface_watch(const struct interface *interface, int epoll_fd);
/* Let interface_changed() be true soon, though nothing changes. */
void interface_look_later(const struct interface *interface);
/* Should it be looked at?  Takes what the descriptors hold. */
bool interface_changed(struct interface *interface);
/* Look at it anew: name, index, up, mtu. */
void interface_look(struct interface *interface);
/*
 * Make sockets in the interface's namespace, and go back: the token of enter goes to
 * leave.  -errno of enter: the caller may not go there.
 */
int interface_enter(const struct interface *interface);
void interface_leave(int token);
/* Does it segment TCP itself (ethtool's tso), or pass segments on whole as veth does? */
bool interface_takes_segments(const struct interface *interface);
/* Is this its driver, as ethtool -i shows it? */
bool interface_has_driver(const struct interface *interface, const char *driver);

#pragma GCC visibility pop

#endif
