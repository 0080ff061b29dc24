/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Ways round a router's stack: a flow table of nftables, and a program of XDP that asks
 * for the route.  A kernel without them says so: then there is no figure.
 */
#ifndef SHORTCUT_H
#define SHORTCUT_H

#include <linux/bpf.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <stddef.h>

#include "network.h"

/* --- nftables: each change is a batch of its own --- */

struct nft_change {
	char bytes[1024];
	uint32_t used;
};

static inline uint32_t nft_message(struct nft_change *change, uint16_t type, uint16_t flags,
				   uint8_t family, uint16_t resource)
{
	uint32_t at = change->used;
	struct nlmsghdr *header = (struct nlmsghdr *)(change->bytes + at);
	struct nfgenmsg *message = NLMSG_DATA(header);

	*header = (struct nlmsghdr){ .nlmsg_type = type, .nlmsg_flags = flags };
	*message = (struct nfgenmsg){ .nfgen_family = family, .res_id = htons(resource) };
	change->used += NLMSG_LENGTH(sizeof(*message));
	return at;
}

static inline void nft_close(struct nft_change *change, uint32_t at)
{
	((struct nlmsghdr *)(change->bytes + at))->nlmsg_len = change->used - at;
}

static inline uint32_t nft_attribute(struct nft_change *change, uint16_t type, const void *data,
				     size_t bytes)
{
	uint32_t at = change->used;
	struct nlattr *new = (struct nlattr *)(change->bytes + at);

	*new = (struct nlattr){ .nla_len = (uint16_t)(NLA_HDRLEN + bytes), .nla_type = type };
	if (bytes)
		memcpy(new + 1, data, bytes);
	change->used += NLA_HDRLEN + NLA_ALIGN(bytes);
	return at;
}

static inline void nft_string(struct nft_change *change, uint16_t type, const char *text)
{
	nft_attribute(change, type, text, strlen(text) + 1);
}

static inline void nft_number(struct nft_change *change, uint16_t type, uint32_t number)
{
	number = htonl(number);
	nft_attribute(change, type, &number, sizeof(number));
}

static inline uint32_t nft_nest(struct nft_change *change, uint16_t type)
{
	return nft_attribute(change, type | NLA_F_NESTED, NULL, 0);
}

static inline void nft_end_nest(struct nft_change *change, uint32_t at)
{
	((struct nlattr *)(change->bytes + at))->nla_len = (uint16_t)(change->used - at);
}

static inline uint32_t nft_begin(struct nft_change *change, uint16_t type)
{
	uint16_t flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_APPEND;
	uint32_t at;

	memset(change, 0, sizeof(*change));
	at = nft_message(change, NFNL_MSG_BATCH_BEGIN, NLM_F_REQUEST, AF_UNSPEC,
			 NFNL_SUBSYS_NFTABLES);
	nft_close(change, at);
	return nft_message(change, (uint16_t)(NFNL_SUBSYS_NFTABLES << 8 | type), flags,
			   NFPROTO_IPV4, 0);
}

/* 0, or -errno of the kernel's. */
static inline int nft_commit(const struct node *node, struct nft_change *change, uint32_t at)
{
	struct {
		struct nlmsghdr header;
		struct nlmsgerr error;
		char rest[1024];
	} answer = { .error.error = -EPROTO };
	int64_t socket;
	uint64_t fd;

	nft_close(change, at);
	at = nft_message(change, NFNL_MSG_BATCH_END, NLM_F_REQUEST, AF_UNSPEC,
			 NFNL_SUBSYS_NFTABLES);
	nft_close(change, at);
	socket = node_try(node, SYS_socket, AF_NETLINK, SOCK_RAW, NETLINK_NETFILTER, 0, 0, 0);
	if (socket < 0)
		return (int)socket;
	fd = (uint64_t)socket;
	node_call(node, SYS_sendto, fd, (uint64_t)change->bytes, change->used, 0, 0, 0);
	node_call(node, SYS_recvfrom, fd, (uint64_t)&answer, sizeof(answer), 0, 0, 0);
	node_close(node, fd);
	return answer.error.error;
}

/* Forwarded flows go into a table that eth0 and eth1 look at first. */
static inline int add_flowtable(const struct node *node)
{
	struct nft_change change;
	uint32_t at, list, item, hook, data;
	int error;

	at = nft_begin(&change, NFT_MSG_NEWTABLE);
	nft_string(&change, NFTA_TABLE_NAME, "t");
	error = nft_commit(node, &change, at);
	if (error)
		return error;

	at = nft_begin(&change, NFT_MSG_NEWFLOWTABLE);
	nft_string(&change, NFTA_FLOWTABLE_TABLE, "t");
	nft_string(&change, NFTA_FLOWTABLE_NAME, "f");
	hook = nft_nest(&change, NFTA_FLOWTABLE_HOOK);
	nft_number(&change, NFTA_FLOWTABLE_HOOK_NUM, NF_NETDEV_INGRESS);
	nft_number(&change, NFTA_FLOWTABLE_HOOK_PRIORITY, 0);
	list = nft_nest(&change, NFTA_FLOWTABLE_HOOK_DEVS);
	nft_string(&change, NFTA_DEVICE_NAME, "eth0");
	nft_string(&change, NFTA_DEVICE_NAME, "eth1");
	nft_end_nest(&change, list);
	nft_end_nest(&change, hook);
	error = nft_commit(node, &change, at);
	if (error)
		return error;

	at = nft_begin(&change, NFT_MSG_NEWCHAIN);
	nft_string(&change, NFTA_CHAIN_TABLE, "t");
	nft_string(&change, NFTA_CHAIN_NAME, "c");
	hook = nft_nest(&change, NFTA_CHAIN_HOOK);
	nft_number(&change, NFTA_HOOK_HOOKNUM, NF_INET_FORWARD);
	nft_number(&change, NFTA_HOOK_PRIORITY, 0);
	nft_end_nest(&change, hook);
	nft_string(&change, NFTA_CHAIN_TYPE, "filter");
	error = nft_commit(node, &change, at);
	if (error)
		return error;

	at = nft_begin(&change, NFT_MSG_NEWRULE);
	nft_string(&change, NFTA_RULE_TABLE, "t");
	nft_string(&change, NFTA_RULE_CHAIN, "c");
	list = nft_nest(&change, NFTA_RULE_EXPRESSIONS);
	item = nft_nest(&change, NFTA_LIST_ELEM);
	nft_string(&change, NFTA_EXPR_NAME, "flow_offload");
	data = nft_nest(&change, NFTA_EXPR_DATA);
	nft_string(&change, NFTA_FLOW_TABLE_NAME, "f");
	nft_end_nest(&change, data);
	nft_end_nest(&change, item);
	nft_end_nest(&change, list);
	return nft_commit(node, &change, at);
}

/* --- XDP --- */

#define INSN(c, d, s, o, i)  { .code = (c), .dst_reg = (d), .src_reg = (s), .off = (o), .imm = (i) }
#define MOV_REG(d, s)	     INSN(BPF_ALU64 | BPF_MOV | BPF_X, d, s, 0, 0)
#define MOV(d, i)	     INSN(BPF_ALU64 | BPF_MOV | BPF_K, d, 0, 0, i)
#define ADD(d, i)	     INSN(BPF_ALU64 | BPF_ADD | BPF_K, d, 0, 0, i)
#define LOAD(size, d, s, o)  INSN(BPF_LDX | BPF_MEM | (size), d, s, o, 0)
#define STORE(size, d, s, o) INSN(BPF_STX | BPF_MEM | (size), d, s, o, 0)
#define STORE_K(size, d, o, i) INSN(BPF_ST | BPF_MEM | (size), d, 0, o, i)
#define JUMP(op, d, i, o)      INSN(BPF_JMP | (op) | BPF_K, d, 0, o, i)
#define CALL(f)		       INSN(BPF_JMP | BPF_CALL, 0, 0, 0, f)
#define EXIT		       INSN(BPF_JMP | BPF_EXIT, 0, 0, 0, 0)

/* Where struct bpf_fib_lookup lies on the program's stack. */
#define FIB(member) \
	((int16_t)(offsetof(struct bpf_fib_lookup, member) - sizeof(struct bpf_fib_lookup)))

/*
 * As the kernel's samples/bpf/xdp_fwd does it: IPv4 whose next hop is known goes there,
 * all else to the stack.
 */
static const struct bpf_insn forward[] = {
	MOV_REG(6, 1),
	LOAD(BPF_W, 7, 6, offsetof(struct xdp_md, data)),
	LOAD(BPF_W, 2, 6, offsetof(struct xdp_md, data_end)),
	MOV_REG(3, 7),
	ADD(3, 34),
	INSN(BPF_JMP | BPF_JGT | BPF_X, 3, 2, 45, 0), /* too short: pass */
	LOAD(BPF_H, 3, 7, 12),
	JUMP(BPF_JNE, 3, 0x0008, 43), /* not IPv4 */
	LOAD(BPF_B, 8, 7, 22),
	JUMP(BPF_JLE, 8, 1, 41), /* it ends here */
	STORE_K(BPF_DW, 10, FIB(family), AF_INET), /* with protocol and ports */
	LOAD(BPF_W, 3, 6, offsetof(struct xdp_md, ingress_ifindex)),
	STORE(BPF_W, 10, 3, FIB(ifindex)),
	STORE_K(BPF_W, 10, FIB(tos), 0),
	LOAD(BPF_W, 3, 7, 26),
	STORE(BPF_W, 10, 3, FIB(ipv4_src)),
	LOAD(BPF_W, 3, 7, 30),
	STORE(BPF_W, 10, 3, FIB(ipv4_dst)),
	/* What else the verifier wants to have been written. */
	STORE_K(BPF_W, 10, FIB(ipv4_src) + 4, 0),
	STORE_K(BPF_DW, 10, FIB(ipv4_src) + 8, 0),
	STORE_K(BPF_W, 10, FIB(ipv4_dst) + 4, 0),
	STORE_K(BPF_DW, 10, FIB(ipv4_dst) + 8, 0),
	STORE_K(BPF_DW, 10, FIB(h_vlan_proto), 0),
	STORE_K(BPF_DW, 10, FIB(h_vlan_proto) + 8, 0),
	MOV_REG(1, 6),
	MOV_REG(2, 10),
	ADD(2, -(int)sizeof(struct bpf_fib_lookup)),
	MOV(3, sizeof(struct bpf_fib_lookup)),
	MOV(4, 0),
	CALL(BPF_FUNC_fib_lookup),
	JUMP(BPF_JNE, 0, BPF_FIB_LKUP_RET_SUCCESS, 20),
	ADD(8, -1),
	STORE(BPF_B, 7, 8, 22),
	/* The header's sum grows by what the time to live has lost, RFC 1624. */
	LOAD(BPF_H, 3, 7, 24),
	ADD(3, 1),
	MOV_REG(4, 3),
	INSN(BPF_ALU64 | BPF_RSH | BPF_K, 4, 0, 0, 16),
	INSN(BPF_ALU64 | BPF_ADD | BPF_X, 3, 4, 0, 0),
	STORE(BPF_H, 7, 3, 24),
	LOAD(BPF_H, 3, 10, FIB(dmac)),
	STORE(BPF_H, 7, 3, 0),
	LOAD(BPF_W, 3, 10, FIB(dmac) + 2),
	STORE(BPF_W, 7, 3, 2),
	LOAD(BPF_W, 3, 10, FIB(smac)),
	STORE(BPF_W, 7, 3, 6),
	LOAD(BPF_H, 3, 10, FIB(smac) + 4),
	STORE(BPF_H, 7, 3, 10),
	LOAD(BPF_W, 1, 10, FIB(ifindex)),
	MOV(2, 0),
	CALL(BPF_FUNC_redirect),
	EXIT,
	MOV(0, XDP_PASS),
	EXIT,
};

/* As the kernel's samples/bpf/xdp_redirect does it: there is one way, known beforehand. */
#define FIXED_WAY_INSN 24 /* whose immediate operand is the interface's index */
static struct bpf_insn forward_fixed[] = {
	MOV_REG(6, 1),
	LOAD(BPF_W, 7, 6, offsetof(struct xdp_md, data)),
	LOAD(BPF_W, 2, 6, offsetof(struct xdp_md, data_end)),
	MOV_REG(3, 7),
	ADD(3, 34),
	INSN(BPF_JMP | BPF_JGT | BPF_X, 3, 2, 21, 0), /* too short: pass */
	LOAD(BPF_H, 3, 7, 12),
	JUMP(BPF_JNE, 3, 0x0008, 19), /* not IPv4 */
	LOAD(BPF_B, 8, 7, 22),
	JUMP(BPF_JLE, 8, 1, 17), /* it ends here */
	ADD(8, -1),
	STORE(BPF_B, 7, 8, 22),
	LOAD(BPF_H, 3, 7, 24),
	ADD(3, 1),
	MOV_REG(4, 3),
	INSN(BPF_ALU64 | BPF_RSH | BPF_K, 4, 0, 0, 16),
	INSN(BPF_ALU64 | BPF_ADD | BPF_X, 3, 4, 0, 0),
	STORE(BPF_H, 7, 3, 24),
	/* To 02:00:00:00:00:02, from 02:00:00:00:00:01. */
	STORE_K(BPF_W, 7, 0, 0x02),
	STORE_K(BPF_H, 7, 4, 0x0200),
	STORE_K(BPF_W, 7, 6, 0x02),
	STORE_K(BPF_H, 7, 10, 0x0100),
	MOV(0, 0),
	MOV(2, 0),
	MOV(1, 0),
	CALL(BPF_FUNC_redirect),
	EXIT,
	MOV(0, XDP_PASS),
	EXIT,
};

static inline int64_t bpf_call(const struct node *node, int command, union bpf_attr *attributes)
{
	return node_try(node, SYS_bpf, (uint64_t)command, (uint64_t)attributes, sizeof(*attributes),
			0, 0, 0);
}

/* The descriptor that keeps the program attached, or -errno of the kernel's. */
static inline int attach_xdp(const struct node *node, uint32_t ifindex,
			     const struct bpf_insn *instructions, size_t bytes)
{
	static char log[1 << 16];
	union bpf_attr program, link;
	int64_t fd;

	memset(&program, 0, sizeof(program));
	program.prog_type = BPF_PROG_TYPE_XDP;
	program.insn_cnt = (uint32_t)(bytes / sizeof(instructions[0]));
	program.insns = (uint64_t)instructions;
	program.license = (uint64_t)"GPL";
	program.log_buf = (uint64_t)log;
	program.log_size = sizeof(log);
	program.log_level = 1;
	fd = bpf_call(node, BPF_PROG_LOAD, &program);
	if (fd < 0) {
		fputs(log, stderr);
		return (int)fd;
	}
	memset(&link, 0, sizeof(link));
	link.link_create.prog_fd = (uint32_t)fd;
	link.link_create.target_ifindex = ifindex;
	link.link_create.attach_type = BPF_XDP;
	return (int)bpf_call(node, BPF_LINK_CREATE, &link);
}

static inline int forward_by_xdp(const struct node *node, uint32_t from)
{
	return attach_xdp(node, from, forward, sizeof(forward));
}

static inline int forward_fixed_by_xdp(const struct node *node, uint32_t from, uint32_t to)
{
	forward_fixed[FIXED_WAY_INSN].imm = (int32_t)to;
	return attach_xdp(node, from, forward_fixed, sizeof(forward_fixed));
}

#endif
