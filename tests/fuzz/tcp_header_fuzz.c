/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The TCP header and its options. What parses must be within the bounds that the rest of tcp relies on, and must come
 * back the same from what tcp_header_build() makes of it, blocks that have no room aside.
 */
#include <string.h>

#include "dataplane/tcp/header.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void check_bounds(const struct tcp_header *header, size_t len)
{
        BUG_ON(header->header_len < TCP_HEADER_MIN || header->header_len > TCP_HEADER_MAX || header->header_len > len);
        BUG_ON(header->blocks > TCP_SACK_BLOCKS_MAX || header->scale > TCP_SCALE_MAX);
        BUG_ON(header->src_port == 0 || header->dst_port == 0);
        BUG_ON(!(header->flags & TCP_FLAG_SYN) && (header->mss || header->has_scale || header->has_sack_permitted));
        BUG_ON(!header->has_scale && header->scale);
}

static void check_same(const struct tcp_header *was, const struct tcp_header *is)
{
        BUG_ON(was->seq != is->seq || is->ack != (was->flags & TCP_FLAG_ACK ? was->ack : 0));
        BUG_ON(was->src_port != is->src_port || was->dst_port != is->dst_port);
        BUG_ON(was->window != is->window || was->flags != is->flags || was->mss != is->mss);
        BUG_ON(was->has_scale != is->has_scale || was->scale != is->scale);
        BUG_ON(was->has_sack_permitted != is->has_sack_permitted || was->has_timestamp != is->has_timestamp);
        BUG_ON(was->ts_value != is->ts_value || was->ts_echo != is->ts_echo);
        BUG_ON(is->blocks > was->blocks || memcmp(was->block, is->block, is->blocks * sizeof(is->block[0])) != 0);
        /* Only a SYN has so many other options that not even one block fits; beside a timestamp three do. */
        BUG_ON(!(was->flags & TCP_FLAG_SYN) && is->blocks != MIN(was->blocks, was->has_timestamp ? 3 : 4));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
        struct tcp_header header, again;
        uint8_t bytes[TCP_HEADER_MAX];
        uint8_t built;

        if (tcp_header_parse(data, len, &header) != TCP_PARSE_OK)
                return 0;
        check_bounds(&header, len);
        built = tcp_header_build(&header, bytes);
        BUG_ON(built != tcp_header_len(&header) || built > sizeof(bytes) || built % 4 != 0);
        BUG_ON(tcp_header_parse(bytes, built, &again) != TCP_PARSE_OK || again.header_len != built);
        check_same(&header, &again);
        return 0;
}
