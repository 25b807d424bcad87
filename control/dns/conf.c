/* SPDX-License-Identifier: Apache-2.0 */
#include "control/dns/conf.h"

#include <stdio.h>
#include <string.h>

static uint32_t between(uint32_t value, uint32_t min, uint32_t max)
{
        return MIN(MAX(value, min), max);
}

static void list_from_image(struct dns_conf *conf, const struct image *image, const struct image_zone *zone,
                            unsigned *codes_used)
{
        struct dns_list *list = &conf->lists[zone->number];

        if (zone->domain.len >= sizeof(list->domain) || zone->codes.count > IMAGE_CODES_MAX - *codes_used)
                return;
        list->used = true;
        list->ipv4 = zone->ipv4 != 0;
        list->ipv6 = zone->ipv6 != 0;
        list->kind = zone->kind;
        snprintf(list->name, sizeof(list->name), "%s", image_string(image, zone->name));
        snprintf(list->domain, sizeof(list->domain), "%s", image_string(image, zone->domain));
        list->ttl_min_sec = zone->ttl_min_sec;
        list->ttl_max_sec = MAX(zone->ttl_max_sec, zone->ttl_min_sec);
        list->codes_first = *codes_used;
        list->codes_used = zone->codes.count;
        for (uint32_t i = 0; i < zone->codes.count; i++)
                conf->codes[(*codes_used)++] = *image_codes(image, zone->codes.first + i);
}

void dns_conf_from_image(struct dns_conf *conf, const struct image *image)
{
        const struct image_dns *dns = &image->dns;
        unsigned codes_used = 0;

        memset(conf, 0, sizeof(*conf));
        conf->deadline_ms = between(dns->deadline_ms, 100, 60000);
        conf->queue_max = between(dns->queue_max, 1, DNS_QUESTIONS_MAX);
        conf->share_max =
            between(conf->queue_max * between(dns->network_share, 1, 100) / 100, 1, conf->queue_max);
        conf->outstanding_max = between(dns->outstanding_max, 8, RESOLVER_WINDOW);
        conf->ptr_ttl_min_sec = dns->ptr_ttl_min_sec;
        conf->ptr_ttl_max_sec = MAX(dns->ptr_ttl_max_sec, dns->ptr_ttl_min_sec);
        conf->probe_interval_sec = between(dns->probe_interval_sec, 1, 86400);
        /* An answer too late for who asked is still good for the table: a short deadline must not leave it empty. */
        conf->resolver.deadline_ms = MAX(conf->deadline_ms, dns->timeout_ms);
        conf->resolver.timeout_ms = dns->timeout_ms;
        for (uint32_t i = 0; i < MIN(dns->resolvers.count, RESOLVER_SERVERS_MAX); i++) {
                const struct image_resolver *from = image_resolver(image, i);

                conf->resolver.servers[i].addr = from->addr;
                conf->resolver.servers[i].port = from->port;
                conf->resolver.servers_used = i + 1;
        }
        for (uint32_t i = 0; i < image->zones.count; i++)
                list_from_image(conf, image, image_zone(image, i), &codes_used);
}
