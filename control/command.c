/* SPDX-License-Identifier: Apache-2.0 */
#include "control/command.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "control/metrics.h"
#include "control/state.h"

static const struct {
        const char *name;
        command_fn run;
} commands[] = {
        { "status", command_status },
        { "counters", command_counters },
        { "zones", command_zones },
        { "backends", command_backends },
        { "drain", command_drain },
        { "undrain", command_undrain },
        { "policy push", command_policy_push },
        { "policy versions", command_policy_versions },
        { "policy rollback", command_policy_rollback },
        { "policy show", command_policy_show },
        { "grey list", command_grey_list },
        { "grey show", command_grey_show },
        { "grey pass", command_grey_pass },
        { "grey remove", command_grey_remove },
        { "client show", command_client_show },
        { "explain", command_explain },
};

void command_run(void *arg, struct admin_request *request)
{
        const char *name = admin_command(request), *wanted, *wrong = admin_wrong_arg(request, &wanted);

        /* Never as if it had not been given: a rollback to "2" must not become one to the version before. */
        if (wrong) {
                admin_fail(request, "argument %.60s: wanted %s", wrong, wanted);
                return;
        }
        for (unsigned i = 0; i < ARRAY_LEN(commands); i++) {
                if (strcmp(commands[i].name, name) == 0) {
                        commands[i].run(arg, request);
                        return;
                }
        }
        admin_fail(request, "there is no command %.60s", name);
}

static const char *link_state_name(enum control_link_state state)
{
        static const char *const names[] = {
                [CONTROL_LINK_ABSENT] = "absent",
                [CONTROL_LINK_ALIVE] = "alive",
                [CONTROL_LINK_HUNG] = "hung",
                [CONTROL_LINK_DEAD] = "dead",
        };

        return names[state];
}

static void put_dataplane(struct json *json, const struct control *control)
{
        const struct link_page *page = control_link_page(control->link);
        uint32_t workers = control_link_workers(control->link);
        uint64_t age_ms = 0, sessions = 0;

        json_object_open(json, "dataplane");
        json_put_string(
            json, "state",
            link_state_name(control_link_state(control->link, loop_now_ms(control->loop), &age_ms)));
        if (page) {
                for (uint32_t worker = 0; worker < workers; worker++)
                        sessions +=
                            __atomic_load_n(&page->counters[worker][COUNTER_sessions_open], __ATOMIC_RELAXED);
                json_put_int(json, "pid", page->dataplane_pid);
                json_put_uint(json, "workers", workers);
                json_put_uint(json, "beat_age_ms", age_ms);
                json_put_time_sec(json, "started", page->started_sec);
                json_put_bool(json, "ready", atomic_load(&page->ready) == 1);
                json_put_uint(json, "policy_loaded", atomic_load(&page->image_loaded));
                json_put_uint(json, "sessions_open", sessions);
        }
        json_object_close(json);
}

static void put_tables(struct json *json, const struct control *control)
{
        json_object_open(json, "greylist");
        json_put_uint(json, "entries", grey_table_entries(&control->grey));
        json_put_uint(json, "fill_permille", grey_table_fill(&control->grey));
        if (control->snapshot_sec)
                json_put_time_sec(json, "snapshot", control->snapshot_sec);
        json_put_string(json, "snapshot_error",
                        control->snapshot_result < 0 ? strerror(-control->snapshot_result) : NULL);
        json_object_close(json);
        json_object_open(json, "journal");
        json_put_bool(json, "on", control->journal != NULL);
        if (control->journal) {
                struct journal_stats stats = journal_stats(control->journal);

                json_put_uint(json, "rows", stats.rows);
                json_put_uint(json, "dropped", stats.dropped);
        }
        json_object_close(json);
        state_put_redis(json, "redis", control);
}

static void put_dns(struct json *json, const struct control *control)
{
        const struct dns_counters *counters = dns_counters(control->dns);
        uint32_t zones = 0, zones_up = 0;

        for (uint32_t number = 0; number < IMAGE_ZONES_MAX; number++) {
                if (dns_list_at(control->dns, number) == NULL)
                        continue;
                zones++;
                zones_up += dns_zone_is_up(dns_list_zone(control->dns, number));
        }
        json_object_open(json, "dns");
        json_put_uint(json, "zones", zones);
        json_put_uint(json, "zones_up", zones_up);
        json_put_uint(json, "asked", counters->asked);
        json_put_uint(json, "finished", counters->finished);
        json_put_uint(json, "deadline", counters->deadline);
        json_put_uint(json, "open", counters->open_now);
        json_put_uint(json, "in_flight", counters->in_flight_now);
        json_object_close(json);
}

void command_status(struct control *control, struct admin_request *request)
{
        struct json *json = admin_result(request);
        struct loop_stats loop = loop_stats(control->loop);
        const char *why = metrics_unhealthy(control);

        json_object_open(json, "result");
        json_put_string(json, "node", control->log_context.node);
        json_put_bool(json, "healthy", why == NULL);
        json_put_string(json, "why_not", why);
        json_put_bool(json, "draining", control->is_draining);
        json_put_uint(json, "policy_version", control->image->generation);
        json_object_open(json, "control");
        json_put_int(json, "pid", getpid());
        json_put_time_sec(json, "started", control->started_sec);
        json_put_uint(json, "uptime_sec", control_wall_sec() - control->started_sec);
        json_put_uint(json, "longest_turn_us", loop.longest_turn_us);
        json_put_uint(json, "slow_turns", loop.slow_turns);
        json_object_close(json);
        put_dataplane(json, control);
        put_tables(json, control);
        put_dns(json, control);
        json_object_open(json, "log");
        json_put_string(json, "file", control->log.path);
        json_put_uint(json, "lines", control->log.lines);
        json_put_uint(json, "missing", control->counts.log_missing);
        json_put_uint(json, "shed", control->counts.log_shed);
        json_put_string(json, "error",
                        control->log.last_error < 0 ? strerror(-control->log.last_error) : NULL);
        json_object_close(json);
        json_object_close(json);
        admin_done(request);
}

void command_counters(struct control *control, struct admin_request *request)
{
        const struct link_page *page = control_link_page(control->link);
        struct json *json = admin_result(request);

        if (page == NULL) {
                admin_fail(request, "no dataplane has been seen: there are no counters");
                return;
        }
        json_array_open(json, "result");
        for (uint32_t i = 0; i < COUNTER_USED; i++) {
                uint64_t sum = 0;

                for (uint32_t worker = 0; worker < control_link_workers(control->link); worker++)
                        sum += __atomic_load_n(&page->counters[worker][i], __ATOMIC_RELAXED);
                json_object_open(json, NULL);
                json_put_string(json, "name", counter_infos[i].name);
                json_put_string(json, "unit", counter_infos[i].unit);
                json_put_uint(json, "value", sum);
                json_put_string(json, "help", counter_infos[i].help);
                json_object_close(json);
        }
        json_array_close(json);
        admin_done(request);
}

/* Upper bound in ms of the latency bucket below which half of the answers lie. */
static uint64_t median_ms(const struct dns_zone_stats *stats)
{
        uint64_t all = 0, seen = 0;

        for (unsigned i = 0; i < ZONE_LATENCIES; i++)
                all += stats->latency[i];
        for (unsigned i = 0; i < ZONE_LATENCIES; i++) {
                seen += stats->latency[i];
                if (seen > 0 && 2 * seen >= all)
                        return 1ull << i;
        }
        return 0;
}

static void put_zone(struct json *json, const struct control *control, uint32_t number)
{
        const struct image_zone *list = image_lookup_zone(control->image, number);
        const struct dns_zone *zone = dns_list_zone(control->dns, number);
        const struct dns_list_stats *stats = dns_list_stats(control->dns, number);
        const uint64_t *readings = zone->stats.readings;

        json_object_open(json, NULL);
        json_put_uint(json, "number", number);
        json_put_string(json, "name", list ? image_string(control->image, list->name) : NULL);
        json_put_string(json, "domain", zone->domain);
        if (list) {
                json_put_string(json, "kind", list->kind == IMAGE_ZONE_ALLOW ? "allow" : "block");
                json_put_int(json, "points", list->points);
                json_put_bool(json, "smtp_blocking", list->smtp_blocking);
        }
        json_put_string(json, "state", dns_zone_state_text(zone->state));
        json_put_time_sec(json, "since", zone->since_sec);
        json_put_string(json, "reason", zone->reason);
        json_put_uint(json, "hits", stats->hits);
        json_put_uint(json, "unique_hits", stats->unique_hits);
        json_put_uint(json, "queries", zone->stats.queries);
        json_put_uint(json, "listed", readings[DNS_READING_LISTED]);
        json_put_uint(json, "clear", readings[DNS_READING_CLEAR]);
        json_put_uint(json, "odd", readings[DNS_READING_ODD]);
        json_put_uint(json, "lies", readings[DNS_READING_LIE]);
        json_put_uint(json, "timeouts", readings[DNS_READING_TIMEOUT]);
        json_put_uint(json, "failures", readings[DNS_READING_FAILED]);
        json_put_uint(json, "skipped", zone->stats.skipped);
        json_put_uint(json, "median_ms", median_ms(&zone->stats));
        json_put_uint(json, "probes", zone->stats.probes);
        json_put_uint(json, "probes_failed", zone->stats.probes_failed);
        json_object_close(json);
}

void command_zones(struct control *control, struct admin_request *request)
{
        struct json *json = admin_result(request);

        json_array_open(json, "result");
        for (uint32_t number = 0; number < IMAGE_ZONES_MAX; number++) {
                if (dns_list_at(control->dns, number))
                        put_zone(json, control, number);
        }
        json_array_close(json);
        admin_done(request);
}

void command_backends(struct control *control, struct admin_request *request)
{
        static const char *const states[] = { "unknown", "up", "down" };
        const struct link_page *page = control_link_page(control->link);
        const struct image *image = control->image;
        struct json *json = admin_result(request);

        if (page == NULL) {
                admin_fail(request, "no dataplane has been seen: backends are watched by it");
                return;
        }
        json_array_open(json, "result");
        for (uint32_t i = 0; i < MIN(atomic_load(&page->backends), LINK_BACKENDS_MAX); i++) {
                const struct link_backend *backend = &page->backend[i];
                uint32_t state = atomic_load(&backend->state);
                char addr[ADDR_TEXT_MAX];

                json_object_open(json, NULL);
                json_put_string(json, "address", addr_text(&backend->addr, addr));
                json_put_uint(json, "port", backend->port);
                json_put_string(json, "pool",
                                backend->pool < image->pools.count
                                    ? image_string(image, image_pool(image, backend->pool)->name)
                                    : NULL);
                json_put_string(json, "state", state < ARRAY_LEN(states) ? states[state] : "?");
                json_put_time_sec(json, "since", atomic_load(&backend->changed_sec));
                json_put_uint(json, "sessions", atomic_load(&backend->sessions));
                json_put_uint(json, "failures", atomic_load(&backend->failures));
                json_put_uint(json, "transactions", atomic_load(&backend->transactions));
                json_object_close(json);
        }
        json_array_close(json);
        admin_done(request);
}

static void set_draining(struct control *control, struct admin_request *request, bool is_draining)
{
        struct link_page *page = control_link_page(control->link);
        struct json *json = admin_result(request);

        control->is_draining = is_draining;
        if (page) {
                atomic_store(&page->draining, is_draining);
                control_link_ring_main(control->link);
        }
        json_object_open(json, "result");
        json_put_bool(json, "draining", is_draining);
        json_object_close(json);
        admin_done(request);
}

void command_drain(struct control *control, struct admin_request *request)
{
        set_draining(control, request, true);
}

void command_undrain(struct control *control, struct admin_request *request)
{
        set_draining(control, request, false);
}
