// SPDX-License-Identifier: GPL-2.0-only
/*
 * The libraries of an xdp device, and its program: a frame goes to the socket of the queue
 * that it came on, or to the host's stack if that has none.
 */
#include <dlfcn.h>
#include <errno.h>
#include <linux/bpf.h>
#include <linux/if_link.h>
#include <pthread.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include "error.h"
#include "xdp.h"

/* --- Libraries --- */

static struct xdp_library library;
static bool loaded;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void load(void)
{
	void *xdp = dlopen("libxdp.so.1", RTLD_NOW | RTLD_LOCAL);
	void *bpf = dlopen("libbpf.so.1", RTLD_NOW | RTLD_LOCAL);
	const struct {
		void *handle;
		const char *name;
		void **place;
	} wanted[] = {
		{ xdp, "xsk_umem__create", (void **)&library.umem_create },
		{ xdp, "xsk_umem__delete", (void **)&library.umem_delete },
		{ xdp, "xsk_socket__create", (void **)&library.socket_create },
		{ xdp, "xsk_socket__delete", (void **)&library.socket_delete },
		{ xdp, "xsk_socket__fd", (void **)&library.socket_fd },
		{ bpf, "bpf_map_create", (void **)&library.map_create },
		{ bpf, "bpf_map_update_elem", (void **)&library.map_update },
		{ bpf, "bpf_prog_load", (void **)&library.prog_load },
		{ bpf, "bpf_link_create", (void **)&library.link_create },
	};

	if (!xdp || !bpf)
		return;
	for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
		*wanted[i].place = dlsym(wanted[i].handle, wanted[i].name);
		if (!*wanted[i].place)
			return;
	}
	loaded = true;
}

const struct xdp_library *xdp_library(void)
{
	pthread_once(&once, load);
	if (loaded)
		return &library;
	plh_set_error("An xdp device needs libxdp.so.1 and libbpf.so.1, which this machine does "
		      "not have: install the packages libxdp1 and libbpf1.");
	return NULL;
}

/* --- The program --- */

static int load_program(struct xdp_state *state, const struct xdp_library *lib)
{
	/* return bpf_redirect_map(&map, ctx->rx_queue_index, XDP_PASS); */
	const struct bpf_insn program[] = {
		{ .code = BPF_LDX | BPF_MEM | BPF_W,
		  .dst_reg = BPF_REG_2,
		  .src_reg = BPF_REG_1,
		  .off = offsetof(struct xdp_md, rx_queue_index) },
		{ .code = BPF_LD | BPF_DW | BPF_IMM,
		  .dst_reg = BPF_REG_1,
		  .src_reg = BPF_PSEUDO_MAP_FD,
		  .imm = state->map_fd },
		{ 0 },
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_3, .imm = XDP_PASS },
		{ .code = BPF_JMP | BPF_CALL, .imm = BPF_FUNC_redirect_map },
		{ .code = BPF_JMP | BPF_EXIT },
	};

	state->program_fd = lib->prog_load(BPF_PROG_TYPE_XDP, "pylibos", "GPL", program,
					   sizeof(program) / sizeof(program[0]), NULL);
	return state->program_fd < 0 ? -errno : 0;
}

/* It goes with the link's descriptor, even if the process is killed. */
static int attach(struct xdp_state *state, const struct xdp_library *lib, uint32_t flags)
{
	struct bpf_link_create_opts options = { .sz = sizeof(options), .flags = flags };

	state->link_fd = lib->link_create(state->program_fd, state->host.index, BPF_XDP, &options);
	return state->link_fd < 0 ? -errno : 0;
}

int xdp_attach(struct xdp_state *state, const struct xdp_library *lib)
{
	uint32_t mode = state->parameters.mode;
	uint32_t entries = state->parameters.first_queue + state->queues;
	int error;

	state->map_fd = lib->map_create(BPF_MAP_TYPE_XSKMAP, "pylibos", sizeof(uint32_t),
					sizeof(int), entries, NULL);
	if (state->map_fd < 0)
		return xdp_fail(state, errno, "have a map of sockets");
	error = load_program(state, lib);
	if (error)
		return xdp_fail(state, -error, "load its program");
	error = attach(state, lib,
		       mode == PLH_XDP_GENERIC ? XDP_FLAGS_SKB_MODE : XDP_FLAGS_DRV_MODE);
	if (error == -EBUSY || error == -EEXIST) {
		plh_set_error("The interface %s has an XDP program already: take that off first, "
			      "by 'ip link set dev %s xdp off' or by ending who holds it.",
			      state->host.name, state->host.name);
		return error;
	}
	/* Its driver knows no XDP, or not with this MTU. */
	if (error && mode == PLH_XDP_ANY_MODE)
		error = attach(state, lib, XDP_FLAGS_SKB_MODE);
	return error ? xdp_fail(state, -error, "attach its program") : 0;
}
