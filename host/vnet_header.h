/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The header of virtio_net before a frame, 12 bytes with num_buffers, as taps
 * have it: a frame's metadata between processes.  Our numbers are those of virtio.
 */
#ifndef PLH_VNET_HEADER_H
#define PLH_VNET_HEADER_H

#include <linux/virtio_net.h>

#include "ring.h"

typedef struct virtio_net_hdr_mrg_rxbuf vnet_header;

static inline void vnet_header_from(vnet_header *header, const struct ll_desc *meta)
{
	header->hdr.flags = meta->csum_flags & LL_CSUM_NEEDED;
	header->hdr.gso_type = meta->gso_type;
	header->hdr.hdr_len = meta->hdr_len;
	header->hdr.gso_size = meta->gso_size;
	header->hdr.csum_start = meta->csum_start;
	header->hdr.csum_offset = meta->csum_offset;
	header->num_buffers = 0;
}

/* The kernel checks what is said here before it believes it. */
static inline void vnet_header_to(const vnet_header *header, struct ll_desc *meta)
{
	meta->csum_flags = header->hdr.flags & (LL_CSUM_NEEDED | LL_CSUM_VALID);
	meta->gso_type = header->hdr.gso_type;
	meta->hdr_len = header->hdr.hdr_len;
	meta->gso_size = header->hdr.gso_size;
	meta->csum_start = header->hdr.csum_start;
	meta->csum_offset = header->hdr.csum_offset;
}

#endif
