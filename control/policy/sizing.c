/* SPDX-License-Identifier: Apache-2.0 */
/* What a policy costs, for the operator who is about to push it. */
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "control/policy/policy.h"

#define GREY_ENTRY_BYTES   24u  /* 16 bytes at a load of 67 % */
#define CLIENT_ENTRY_BYTES 320u /* a line of 64 and a name of 128 bytes at a load of 60 % */
#define PTR_QUERIES        2u   /* the name, and its address again */
#define HUGEPAGE_BYTES     (2u << 20)

/* A DNS zone that is read by several lists is asked once. */
static bool is_asked_already(const struct image *image, uint32_t i, bool is_v4)
{
        const char *domain = image_string(image, image_zone(image, i)->domain);

        for (uint32_t k = 0; k < i; k++) {
                const struct image_zone *zone = image_zone(image, k);

                if ((is_v4 ? zone->ipv4 : zone->ipv6) &&
                    strcmp(image_string(image, zone->domain), domain) == 0)
                        return true;
        }
        return false;
}

uint64_t policy_machine_bytes(void)
{
        long pages = sysconf(_SC_PHYS_PAGES), bytes = sysconf(_SC_PAGESIZE);

        return pages > 0 && bytes > 0 ? (uint64_t)pages * (uint64_t)bytes : 0;
}

void policy_sizing(const struct image *image, struct policy_sizing *ret)
{
        struct policy_sizing sizing = {
                .image_bytes = image->bytes,
                .grey_table_bytes = image->store.grey_entries * GREY_ENTRY_BYTES,
                .client_table_bytes = image->store.client_entries * CLIENT_ENTRY_BYTES,
                .packet_bytes = image->node.packet_memory_bytes,
                .dns_queries_v4 = PTR_QUERIES,
                .dns_queries_v6 = PTR_QUERIES,
        };

        /* Two images at one time: the new one is loaded before the old one is let go. */
        sizing.total_bytes = 2 * sizing.image_bytes + sizing.grey_table_bytes + sizing.client_table_bytes +
                             sizing.packet_bytes;
        sizing.hugepages_2m = (uint32_t)((sizing.packet_bytes + HUGEPAGE_BYTES - 1) / HUGEPAGE_BYTES);
        for (uint32_t i = 0; i < image->zones.count; i++) {
                sizing.dns_queries_v4 += image_zone(image, i)->ipv4 && !is_asked_already(image, i, true);
                sizing.dns_queries_v6 += image_zone(image, i)->ipv6 && !is_asked_already(image, i, false);
        }
        for (uint32_t i = 0; i < image->listeners.count; i++)
                sizing.greeting_delay_ms =
                    MAX(sizing.greeting_delay_ms, image_listener(image, i)->greet_delay_ms);
        sizing.greeting_delay_ms = MAX(sizing.greeting_delay_ms, image->dns.deadline_ms);
        for (uint32_t i = 0; i < image->policies.count; i++) {
                const struct image_greylist *grey = &image_policy(image, i)->greylist;

                if (grey->enabled)
                        sizing.greylist_delay_sec = MAX(sizing.greylist_delay_sec, grey->block_sec);
        }
        *ret = sizing;
}

static double megabytes(uint64_t bytes)
{
        return (double)bytes / (1 << 20);
}

size_t policy_sizing_text(const struct policy_sizing *sizing, char *buf, size_t size)
{
        int len = snprintf(
            buf, size,
            "memory             %.1f MB: packets and sessions %.1f, greylist %.1f, clients %.1f, policy "
            "%.1f\n"
            "hugepages          %" PRIu32 " of 2 MB\n"
            "DNS queries        %" PRIu32 " for a new IPv4 client, %" PRIu32 " for a new IPv6 client\n"
            "delay in a session %.1f s at most until the first verdict\n"
            "delay by greylist  %" PRIu32 " s at least for a new triplet\n",
            megabytes(sizing->total_bytes), megabytes(sizing->packet_bytes),
            megabytes(sizing->grey_table_bytes), megabytes(sizing->client_table_bytes),
            megabytes(2 * sizing->image_bytes), sizing->hugepages_2m, sizing->dns_queries_v4,
            sizing->dns_queries_v6, sizing->greeting_delay_ms / 1000.0, sizing->greylist_delay_sec);

        return size == 0 ? 0 : MIN((size_t)len, size - 1);
}
